package tidemark.bench;

import com.fasterxml.jackson.databind.JsonNode;
import java.io.IOException;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.function.BiConsumer;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;

/** The prefilled log: topics of change events, read from given offsets. */
final class Log {
    private static final long COMMIT_NS = 1_000_000_000L;

    private final JsonNode job;
    private final Map<String, List<Target>> targets = new HashMap<>();
    private final List<String> topics = new ArrayList<>();

    Log(JsonNode job, List<Target> targets) {
        this.job = job;
        job.get("topics").forEach(topic -> topics.add(topic.asText()));
        for (Target each : targets) {
            String topic = job.get("topics").get(each.source).asText();
            this.targets.computeIfAbsent(topic, name -> new ArrayList<>()).add(each);
        }
    }

    /**
     * Warm up, then carry the log poll by poll until the referee ends it; offsets are committed once
     * a second. `carry` takes one poll to its last acknowledged write; how many events it had.
     */
    void carry(Carry carry) throws Exception {
        try (KafkaConsumer<byte[], byte[]> reader = reader()) {
            int left = job.get("warm_events").asInt();
            while (left > 0) {
                left -= carry.poll(reader);
            }
        }
        Contestant.waitForStart();
        Contestant.say("began");
        try (KafkaConsumer<byte[], byte[]> member = member()) {
            long committed = System.nanoTime();
            boolean moved = false;
            while (true) {
                moved |= carry.poll(member) > 0;
                if (moved && System.nanoTime() - committed >= COMMIT_NS) {
                    member.commitAsync();
                    committed = System.nanoTime();
                    moved = false;
                }
            }
        }
    }

    interface Carry {
        int poll(KafkaConsumer<byte[], byte[]> consumer) throws Exception;
    }

    /** A member of the job's group, whose committed offsets say where the log begins. */
    KafkaConsumer<byte[], byte[]> member() {
        KafkaConsumer<byte[], byte[]> consumer = consumer(job.get("group").asText());
        consumer.subscribe(topics);
        return consumer;
    }

    /** A reader of no group, at the first events of the job. */
    KafkaConsumer<byte[], byte[]> reader() {
        KafkaConsumer<byte[], byte[]> consumer = consumer(null);
        List<TopicPartition> partitions = new ArrayList<>();
        for (String topic : topics) {
            for (int at = 0; at < job.get("starts").get(topic).size(); at++) {
                partitions.add(new TopicPartition(topic, at));
            }
        }
        consumer.assign(partitions);
        for (TopicPartition each : partitions) {
            consumer.seek(each, job.get("starts").get(each.topic()).get(each.partition()).asLong());
        }
        return consumer;
    }

    /** Hand the values of each row that the events mean to `take`; how many events there were. */
    int poll(KafkaConsumer<byte[], byte[]> consumer, BiConsumer<Target, Object[]> take)
            throws IOException {
        int events = 0;
        for (ConsumerRecord<byte[], byte[]> record : consumer.poll(Duration.ofMillis(100))) {
            events++;
            JsonNode row = Contestant.JSON.readTree(record.value()).get("after");
            for (Target target : targets.get(record.topic())) {
                Object[] values = target.values(row);
                if (values != null) {
                    take.accept(target, values);
                }
            }
        }
        return events;
    }

    private KafkaConsumer<byte[], byte[]> consumer(String group) {
        Map<String, Object> options = new HashMap<>();
        options.put("bootstrap.servers", job.get("bootstrap").asText());
        options.put("max.poll.records", job.get("poll_records").asInt());
        options.put("enable.auto.commit", false);
        options.put("auto.offset.reset", "none");
        if (group != null) {
            options.put("group.id", group);
        }
        return new KafkaConsumer<>(
                options, new ByteArrayDeserializer(), new ByteArrayDeserializer());
    }
}
