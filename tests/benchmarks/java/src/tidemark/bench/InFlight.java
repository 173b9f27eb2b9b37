package tidemark.bench;

import com.datastax.oss.driver.api.core.CqlSession;
import com.datastax.oss.driver.api.core.cql.BatchStatement;
import com.datastax.oss.driver.api.core.cql.BatchableStatement;
import com.datastax.oss.driver.api.core.cql.BoundStatement;
import com.datastax.oss.driver.api.core.cql.DefaultBatchType;
import com.datastax.oss.driver.api.core.cql.Statement;
import java.util.List;
import java.util.concurrent.Semaphore;

/** Statements that are sent and not answered, at most so many. */
final class InFlight {
    private final CqlSession session;
    private final int most;
    private final Semaphore free;
    private volatile Throwable failure;

    InFlight(CqlSession session, int most) {
        this.session = session;
        this.most = most;
        this.free = new Semaphore(most);
    }

    /** Send rows of one partition: as an unlogged batch, or plainly where there is one. */
    void send(List<BoundStatement> rows) throws InterruptedException {
        send(rows.size() == 1 ? rows.get(0) : batch(rows));
    }

    void send(Statement<?> statement) throws InterruptedException {
        free.acquire();
        session.executeAsync(statement)
                .whenComplete(
                        (answer, error) -> {
                            if (error != null) {
                                failure = error;
                            }
                            free.release();
                        });
    }

    /** Wait until everything is answered; the failure of any ends the run. */
    void drain() throws InterruptedException {
        free.acquire(most);
        free.release(most);
        if (failure != null) {
            throw new IllegalStateException("a write failed", failure);
        }
    }

    private static BatchStatement batch(List<? extends BatchableStatement<?>> rows) {
        return BatchStatement.builder(DefaultBatchType.UNLOGGED)
                .addStatements(rows.toArray(new BatchableStatement<?>[0]))
                .build();
    }
}
