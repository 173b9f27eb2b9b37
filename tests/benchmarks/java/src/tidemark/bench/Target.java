package tidemark.bench;

import com.datastax.oss.driver.api.core.CqlSession;
import com.datastax.oss.driver.api.core.cql.BoundStatement;
import com.datastax.oss.driver.api.core.cql.BoundStatementBuilder;
import com.datastax.oss.driver.api.core.cql.PreparedStatement;
import com.datastax.oss.driver.api.core.type.codec.TypeCodec;
import com.fasterxml.jackson.databind.JsonNode;
import java.math.BigDecimal;
import java.time.Instant;
import java.time.ZoneOffset;
import java.time.temporal.ChronoUnit;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.function.Function;

/** A target table: from an event's row to values, and from those to a bound statement. */
final class Target {
    final String source;
    private final int partitionColumns;
    private final String aboveField;
    private final BigDecimal aboveLimit;
    private final List<String> fields = new ArrayList<>();
    private final List<Function<JsonNode, Object>> converters = new ArrayList<>();
    private final List<TypeCodec<Object>> codecs = new ArrayList<>();
    private final PreparedStatement insert;

    Target(CqlSession session, JsonNode told, boolean stripZeros) {
        source = told.get("source").asText();
        partitionColumns = told.get("partition_columns").asInt();
        JsonNode above = told.get("above");
        aboveField = above.isNull() ? null : above.get(0).asText();
        aboveLimit = above.isNull() ? null : new BigDecimal(above.get(1).asText());
        insert = session.prepare(told.get("insert").asText());
        int at = 0;
        for (JsonNode column : told.get("columns")) {
            fields.add(column.get(0).asText());
            converters.add(converter(column.get(1).asText(), stripZeros));
            codecs.add(
                    session.getContext()
                            .getCodecRegistry()
                            .codecFor(insert.getVariableDefinitions().get(at++).getType()));
        }
    }

    /** The values of a row; null where the table does not take it. */
    Object[] values(JsonNode row) {
        if (aboveField != null
                && new BigDecimal(row.get(aboveField).asText()).compareTo(aboveLimit) <= 0) {
            return null;
        }
        Object[] values = new Object[fields.size()];
        for (int at = 0; at < values.length; at++) {
            JsonNode value = row.get(fields.get(at));
            values[at] = value.isNull() ? null : converters.get(at).apply(value);
        }
        return values;
    }

    BoundStatement bind(Object[] values) {
        BoundStatementBuilder builder = insert.boundStatementBuilder();
        for (int at = 0; at < values.length; at++) {
            builder = builder.set(at, values[at], codecs.get(at));
        }
        return builder.build();
    }

    /** What names the Cassandra partition of a row of this table. */
    List<Object> partition(Object[] values) {
        Object[] key = Arrays.copyOf(values, partitionColumns + 1);
        key[partitionColumns] = this;
        return Arrays.asList(key);
    }

    private static Function<JsonNode, Object> converter(String kind, boolean stripZeros) {
        return switch (kind) {
            case "text" -> JsonNode::asText;
            case "bigint" -> JsonNode::asLong;
            case "boolean" -> JsonNode::asBoolean;
            case "decimal" ->
                    stripZeros
                            ? value -> new BigDecimal(value.asText()).stripTrailingZeros()
                            : value -> new BigDecimal(value.asText());
            case "timestamp" -> Target::instant;
            case "micros" -> value -> micros(value.asText());
            case "hour" -> value -> instant(value).truncatedTo(ChronoUnit.HOURS);
            case "day" -> value -> instant(value).truncatedTo(ChronoUnit.DAYS);
            case "month" ->
                    value ->
                            instant(value)
                                    .atZone(ZoneOffset.UTC)
                                    .withDayOfMonth(1)
                                    .truncatedTo(ChronoUnit.DAYS)
                                    .toInstant();
            default -> throw new IllegalArgumentException("a column of kind " + kind);
        };
    }

    static long micros(String time) {
        return ChronoUnit.MICROS.between(Instant.EPOCH, Instant.parse(time));
    }

    private static Instant instant(JsonNode value) {
        return Instant.parse(value.asText());
    }
}
