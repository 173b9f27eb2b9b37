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
 * The ceiling: decoded rows from memory, no Kafka and no JSON in the clock. Single rows, or unlogged
 * batches of one partition that are gathered before the clock runs.
 *
 * <p>It writes its rows again and again, each pass under another venue and so as new rows.
 */
final class Memory {
    private record Row(Target target, Object[] values) {
        BoundStatement bind() {
            return target.bind(values);
        }
    }

    private final JsonNode job;
    private final InFlight inFlight;
    private final List<List<Row>> batches;

    Memory(JsonNode job, CqlSession session, List<Target> targets) throws Exception {
        this.job = job;
        this.inFlight = new InFlight(session, job.get("in_flight").asInt());
        this.batches = batches(new Log(job, targets), job);
    }

    void run() throws Exception {
        long rows = 0;
        int passes = 0;
        name("warm");
        for (int left = job.get("warm_events").asInt(), at = 0; left > 0; at++) {
            List<Row> batch = batches.get(at % batches.size());
            send(batch);
            left -= batch.size();
        }
        inFlight.drain();
        name(job.get("venue").asText() + passes);
        Contestant.waitForStart();
        Contestant.say("began");
        long end = System.nanoTime() + (long) (job.get("window_s").asDouble() * 1e9);
        while (passes == 0 || System.nanoTime() < end) {
            name(job.get("venue").asText() + passes++);
            for (List<Row> batch : batches) {
                send(batch);
                rows += batch.size();
            }
        }
        inFlight.drain();
        Contestant.say("ended", rows, passes);
    }

    private void send(List<Row> batch) throws InterruptedException {
        List<BoundStatement> bound = new ArrayList<>(batch.size());
        for (Row row : batch) {
            bound.add(row.bind());
        }
        inFlight.send(bound);
    }

    /** Give all rows a venue, which is the first column of every table. */
    private void name(String venue) {
        for (List<Row> batch : batches) {
            for (Row row : batch) {
                row.values()[0] = venue;
            }
        }
    }

    private static List<List<Row>> batches(Log log, JsonNode job) throws Exception {
        int most = job.get("batch_rows").asInt();
        Map<List<Object>, List<Row>> gathered = new LinkedHashMap<>();
        List<List<Row>> batches = new ArrayList<>();
        try (KafkaConsumer<byte[], byte[]> reader = log.reader()) {
            for (int left = job.get("events").asInt(); left > 0; ) {
                left -=
                        log.poll(
                                reader,
                                (target, values) -> {
                                    List<Object> key = target.partition(values);
                                    List<Row> rows =
                                            gathered.computeIfAbsent(
                                                    key, partition -> new ArrayList<>());
                                    rows.add(new Row(target, values));
                                    if (rows.size() == most) {
                                        batches.add(gathered.remove(key));
                                    }
                                });
            }
        }
        batches.addAll(gathered.values());
        return batches;
    }
}
