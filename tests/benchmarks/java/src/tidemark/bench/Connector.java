package tidemark.bench;

import com.datastax.oss.common.sink.AbstractSinkRecord;
import com.datastax.oss.common.sink.AbstractSinkRecordHeader;
import com.datastax.oss.common.sink.AbstractSinkTask;
import com.fasterxml.jackson.databind.JsonNode;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.StringJoiner;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.record.TimestampType;
import org.apache.kafka.connect.data.SchemaAndValue;
import org.apache.kafka.connect.json.JsonConverter;
import org.apache.kafka.connect.sink.SinkRecord;
import org.apache.kafka.connect.transforms.ExtractField;

/**
 * The engine that DataStax's connectors are made of, as its package has it, fed as a Connect worker
 * feeds it: Kafka's JsonConverter, a transform that takes the row out of the change event, one that
 * adds what the connector cannot compute (buckets and microseconds), then put, which waits for all.
 *
 * <p>The worker itself is left out, and so are tables with a condition, which the connector does not
 * know. It gives rows no position of the log: of a repeated event the last one to come stays.
 */
final class Connector {
    private final JsonNode job;
    private final Log log;
    private final Map<String, List<Derived>> derived = new HashMap<>();
    private final JsonConverter keys = new JsonConverter();
    private final JsonConverter values = new JsonConverter();
    private final ExtractField<SinkRecord> after = new ExtractField.Value<>();
    private final Task task = new Task();

    Connector(JsonNode job) throws Exception {
        this.job = job;
        this.log = new Log(job, List.of());
        keys.configure(Map.of("schemas.enable", false), true);
        values.configure(Map.of("schemas.enable", false), false);
        after.configure(Map.of("field", "after"));
        task.start(settings());
    }

    void run() throws Exception {
        log.carry(this::carry);
    }

    /** One poll, to its last acknowledged write; how many events it had. */
    private int carry(KafkaConsumer<byte[], byte[]> consumer) {
        List<AbstractSinkRecord> records = new ArrayList<>();
        for (ConsumerRecord<byte[], byte[]> each : consumer.poll(Duration.ofMillis(100))) {
            records.add(new Adapter(transformed(each)));
        }
        task.put(records);
        if (task.failure != null) {
            throw new IllegalStateException(task.failure);
        }
        return records.size();
    }

    @SuppressWarnings("unchecked")
    private SinkRecord transformed(ConsumerRecord<byte[], byte[]> record) {
        SchemaAndValue key = keys.toConnectData(record.topic(), record.key());
        SchemaAndValue value = values.toConnectData(record.topic(), record.value());
        SinkRecord row =
                after.apply(
                        new SinkRecord(
                                record.topic(),
                                record.partition(),
                                key.schema(),
                                key.value(),
                                value.schema(),
                                value.value(),
                                record.offset(),
                                record.timestamp(),
                                TimestampType.CREATE_TIME));
        Map<String, Object> fields = new HashMap<>((Map<String, Object>) row.value());
        for (Derived each : derived.get(record.topic())) {
            fields.put(each.column, each.of(fields.get(each.field)));
        }
        return row.newRecord(
                row.topic(),
                row.kafkaPartition(),
                row.keySchema(),
                row.key(),
                null,
                fields,
                row.timestamp());
    }

    /** The connector's settings, and what has to be added to a topic's rows. */
    private Map<String, String> settings() throws Exception {
        JsonNode where = job.get("cassandra");
        Map<String, String> told = new HashMap<>();
        told.put("name", "bench");
        told.put("contactPoints", where.get("host").asText());
        told.put("port", where.get("port").asText());
        told.put("loadBalancing.localDc", "datacenter1");
        told.put("auth.provider", "PLAIN");
        told.put("auth.username", where.get("user").asText());
        told.put(
                "auth.password",
                Files.readString(Path.of(where.get("password_file").asText())).strip());
        told.put("maxNumberOfRecordsInBatch", job.get("batch_rows").asText());
        told.put("jmx", "false");
        for (JsonNode target : job.get("targets")) {
            String topic = job.get("topics").get(target.get("source").asText()).asText();
            StringJoiner mapping = new StringJoiner(", ");
            List<Derived> added = new ArrayList<>();
            for (JsonNode column : target.get("columns")) {
                Derived each = Derived.of(column);
                if (each != null) {
                    added.add(each);
                }
                String field = each == null ? column.get(0).asText() : each.column;
                mapping.add(column.get(2).asText() + "=value." + field);
            }
            derived.put(topic, added);
            String table =
                    "topic."
                            + topic
                            + "."
                            + where.get("keyspace").asText()
                            + "."
                            + target.get("table").asText();
            told.put(table + ".mapping", mapping.toString());
            told.put(table + ".consistencyLevel", "LOCAL_QUORUM");
        }
        return told;
    }

    /** A column that is computed from a time: a bucket, or its microseconds. */
    private record Derived(String column, String field, String kind) {
        static Derived of(JsonNode column) {
            String kind = column.get(1).asText();
            return switch (kind) {
                case "micros", "hour", "day", "month" ->
                        new Derived(column.get(2).asText(), column.get(0).asText(), kind);
                default -> null;
            };
        }

        Object of(Object time) {
            String text = (String) time;
            return switch (kind) {
                case "micros" -> Target.micros(text);
                case "hour" -> text.substring(0, 13) + ":00:00Z";
                case "day" -> text.substring(0, 10) + "T00:00:00Z";
                default -> text.substring(0, 7) + "-01T00:00:00Z";
            };
        }
    }

    /** The engine, and the first thing that it could not write. */
    private static final class Task extends AbstractSinkTask {
        private volatile Throwable failure;

        @Override
        protected void handleFailure(
                AbstractSinkRecord record, Throwable error, String cql, Runnable count) {
            failure = error;
        }

        @Override
        public String version() {
            return "1";
        }

        @Override
        public String applicationName() {
            return "bench";
        }
    }

    /** A record as the engine sees it. */
    private record Adapter(SinkRecord record) implements AbstractSinkRecord {
        @Override
        public Iterable<AbstractSinkRecordHeader> headers() {
            return List.of();
        }

        @Override
        public Object key() {
            return record.key();
        }

        @Override
        public Object value() {
            return record.value();
        }

        @Override
        public Long timestamp() {
            return record.timestamp();
        }

        @Override
        public String topic() {
            return record.topic();
        }
    }
}
