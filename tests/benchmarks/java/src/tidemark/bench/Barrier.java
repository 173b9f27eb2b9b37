package tidemark.bench;

import com.datastax.oss.driver.api.core.CqlSession;
import com.datastax.oss.driver.api.core.cql.BoundStatement;
import com.fasterxml.jackson.databind.JsonNode;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.apache.kafka.clients.consumer.KafkaConsumer;

/**
 * The engine of the JVM connectors, restated: poll, decode, gather batches of one partition out of
 * this poll's rows, send all, wait for all, poll again.
 */
final class Barrier {
    private static final int MOST_IN_FLIGHT = 500; // as the connectors' default

    private final Log log;
    private final InFlight inFlight;
    private final int batchRows;

    Barrier(JsonNode job, CqlSession session, List<Target> targets) {
        this.log = new Log(job, targets);
        this.inFlight = new InFlight(session, MOST_IN_FLIGHT);
        this.batchRows = job.get("batch_rows").asInt();
    }

    void run() throws Exception {
        log.carry(this::carry);
    }

    /** One poll, to its last acknowledged write; how many events it had. */
    private int carry(KafkaConsumer<byte[], byte[]> consumer) throws Exception {
        Map<List<Object>, List<BoundStatement>> gathered = new LinkedHashMap<>();
        List<List<BoundStatement>> full = new ArrayList<>();
        int events =
                log.poll(
                        consumer,
                        (target, values) -> {
                            List<Object> partition = target.partition(values);
                            List<BoundStatement> rows =
                                    gathered.computeIfAbsent(partition, key -> new ArrayList<>());
                            rows.add(target.bind(values));
                            if (rows.size() == batchRows) {
                                full.add(gathered.remove(partition));
                            }
                        });
        full.addAll(gathered.values());
        for (List<BoundStatement> rows : full) {
            inFlight.send(rows);
        }
        inFlight.drain();
        return events;
    }
}
