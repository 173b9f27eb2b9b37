#!/usr/bin/env bash
# Fills in the variables of debezium/connect-distributed.properties and starts the worker.
set -euo pipefail
sed -e 's|${kafka_bootstrap}|kafka:9092|' \
    -e 's|${connect_listener}|http://0.0.0.0:8083|' \
    -e 's|${plugin_path}|/kafka/connect|' \
    -e 's|${secrets_dir}|/run/secrets|' \
    -e "s|\${exactly_once}|${EXACTLY_ONCE:-disabled}|" \
    /etc/tidemark/connect-distributed.properties > /tmp/worker.properties
exec /kafka/bin/connect-distributed.sh /tmp/worker.properties
