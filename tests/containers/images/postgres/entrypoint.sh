#!/usr/bin/env bash
# What postgres:18 does at its first start, as its documentation tells it: initdb with the superuser's
# password from a file, a server on the socket alone, the files of /docker-entrypoint-initdb.d.
set -euo pipefail
set -- "$@" -c unix_socket_directories=/var/run/postgresql  # where that image's programs look
if [ ! -s "$PGDATA/PG_VERSION" ]; then
    mkdir -p "$PGDATA"
    chmod 0700 "$PGDATA"
    # shellcheck disable=SC2086 - a list of options
    initdb --username=postgres --pwfile="$POSTGRES_PASSWORD_FILE" $POSTGRES_INITDB_ARGS
    options=$(printf '%q ' "${@:2}" -c listen_addresses=)
    pg_ctl --wait --pgdata="$PGDATA" --options="$options" start
    for script in /docker-entrypoint-initdb.d/*.sql; do
        PGPASSWORD=$(cat "$POSTGRES_PASSWORD_FILE") psql --no-psqlrc --set=ON_ERROR_STOP=1 \
            --username=postgres --no-password --dbname=postgres --file="$script"
    done
    pg_ctl --wait --pgdata="$PGDATA" --mode=fast stop
fi
exec "$@"
