#!/usr/bin/env bash
# Makes the administrator's password once, names the webhook if there is one, and starts Grafana.
# Both are files of Grafana's own volume: the image runs as a user who cannot read ours.
set -eu
umask 077
password=/var/lib/grafana/admin.password
webhook=/var/lib/grafana/webhook.url
[ -s "$password" ] || head -c 18 /dev/urandom | base64 > "$password"
if [ -s "$webhook" ]; then
    export TIDEMARK_GRAFANA_WEBHOOK="\$__file{$webhook}"
else
    export TIDEMARK_GRAFANA_WEBHOOK=http://127.0.0.1:9  # nobody answers there
fi
exec /run.sh
