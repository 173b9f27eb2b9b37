package tidemark.bench;

import com.datastax.oss.driver.api.core.CqlSession;
import com.datastax.oss.driver.api.core.config.DefaultDriverOption;
import com.datastax.oss.driver.api.core.config.DriverConfigLoader;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.File;
import java.net.InetSocketAddress;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;

/**
 * A contestant on the Java driver, told what to do by a job file (tests/benchmarks/sink/jobs.py).
 *
 * <p>It says "ready" once it is connected and warm, begins when it is sent a line, and says "began"
 * and "ended"; the referee holds the clock.
 */
public final class Contestant {
    static final ObjectMapper JSON = new ObjectMapper();

    public static void main(String[] arguments) throws Exception {
        JsonNode job = JSON.readTree(new File(arguments[0]));
        if (job.get("engine").asText().equals("connector")) {
            new Connector(job).run(); // it makes a session of its own
            return;
        }
        try (CqlSession session = connect(job.get("cassandra"))) {
            List<Target> targets = new ArrayList<>();
            for (JsonNode each : job.get("targets")) {
                targets.add(new Target(session, each, job.get("strip_zeros").asBoolean()));
            }
            if (job.get("engine").asText().equals("barrier")) {
                new Barrier(job, session, targets).run();
            } else {
                new Memory(job, session, targets).run();
            }
        }
    }

    static void say(String event) {
        System.out.println("{\"event\": \"" + event + "\"}");
    }

    static void say(String event, long rows, int passes) {
        System.out.printf(
                "{\"event\": \"%s\", \"rows\": %d, \"passes\": %d}%n", event, rows, passes);
    }

    /** Say that all is prepared, and wait for the referee's line. */
    static void waitForStart() throws Exception {
        say("ready");
        while (System.in.read() != '\n') {}
    }

    private static CqlSession connect(JsonNode where) throws Exception {
        String password = Files.readString(Path.of(where.get("password_file").asText())).strip();
        DriverConfigLoader options =
                DriverConfigLoader.programmaticBuilder()
                        .withDuration(DefaultDriverOption.REQUEST_TIMEOUT, Duration.ofSeconds(30))
                        .withDuration(
                                DefaultDriverOption.CONNECTION_INIT_QUERY_TIMEOUT,
                                Duration.ofSeconds(30))
                        .withString(DefaultDriverOption.REQUEST_CONSISTENCY, "LOCAL_QUORUM")
                        .build();
        return CqlSession.builder()
                .addContactPoint(
                        new InetSocketAddress(
                                where.get("host").asText(), where.get("port").asInt()))
                .withLocalDatacenter("datacenter1")
                .withKeyspace(where.get("keyspace").asText())
                .withAuthCredentials(where.get("user").asText(), password)
                .withConfigLoader(options)
                .build();
    }
}
