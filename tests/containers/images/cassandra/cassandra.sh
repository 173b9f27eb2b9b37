#!/usr/bin/env bash
# Cassandra's own start script, as far as the compose file uses it: -f, and -D…
set -euo pipefail
[ "$1" = -f ]
# shellcheck disable=SC2046 - a list of options
exec java "-Xms$MAX_HEAP_SIZE" "-Xmx$MAX_HEAP_SIZE" $(cat /opt/cassandra/jvm.options) \
    -XX:MaxDirectMemorySize=256m -Dcassandra.storagedir=/var/lib/cassandra \
    -javaagent:"$(ls /opt/cassandra/lib/jamm-*.jar)" -cp '/opt/cassandra/lib/*' "${@:2}" \
    org.apache.cassandra.service.CassandraDaemon
