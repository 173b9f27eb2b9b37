#!/usr/bin/env bash
# Adds addresses and folders to stack/config/cassandra.yaml, as stack/services/cassandra.py does.
set -euo pipefail
address=$(hostname -i)
sed "s|SEED_PARAMETERS|[{\"seeds\": \"${address}\"}]|" /etc/tidemark/cassandra.yaml > /tmp/cassandra.yaml
cat >> /tmp/cassandra.yaml <<YAML
listen_address: ${address}
rpc_address: 0.0.0.0
broadcast_rpc_address: ${address}
storage_port: 7000
native_transport_port: 9042
data_file_directories: [/var/lib/cassandra/data]
commitlog_directory: /var/lib/cassandra/commitlog
saved_caches_directory: /var/lib/cassandra/saved_caches
hints_directory: /var/lib/cassandra/hints
cdc_raw_directory: /var/lib/cassandra/cdc_raw
YAML
exec sh /etc/tidemark/commitlog.sh /var/lib/cassandra/commitlog \
    cassandra -f -Dcassandra.config=file:///tmp/cassandra.yaml \
    -Dlogback.configurationFile=/etc/tidemark/logback.xml \
    -Dcassandra.superuser_setup_delay_ms=0 -Dcassandra.skip_wait_for_gossip_to_settle=0 \
    -Dcassandra.ring_delay_ms=0
