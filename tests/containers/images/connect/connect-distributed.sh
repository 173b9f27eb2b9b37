#!/usr/bin/env bash
# Kafka's own script of this name, as far as the compose file uses it.
set -euo pipefail
# shellcheck disable=SC2086 - lists of options
exec java $KAFKA_HEAP_OPTS ${KAFKA_LOG4J_OPTS-} -cp '/kafka/libs/*' \
    org.apache.kafka.connect.cli.ConnectDistributed "$@"
