#!/bin/bash
# Keeps the contract of the upstream image's entrypoint: a new data directory is initialized from
# POSTGRES_* variables (or the files that POSTGRES_*_FILE name) and /docker-entrypoint-initdb.d.
set -euo pipefail

from_file() {
    local file_variable="$1_FILE"
    if [ -n "${!file_variable:-}" ]; then
        export "$1=$(< "${!file_variable}")"
    fi
}

initialize() {
    local user="$POSTGRES_USER" database="$POSTGRES_DB" arguments
    if [ -z "${POSTGRES_PASSWORD:-}" ] && [ "${POSTGRES_HOST_AUTH_METHOD:-}" != trust ]; then
        echo "Error: database is uninitialized and POSTGRES_PASSWORD is not specified" >&2
        exit 1
    fi
    eval "arguments=(${POSTGRES_INITDB_ARGS:-})"
    initdb --username="$user" --pwfile=<(printf '%s\n' "${POSTGRES_PASSWORD:-}") "${arguments[@]}"
    echo "host all all all ${POSTGRES_HOST_AUTH_METHOD:-scram-sha-256}" >> "$PGDATA/pg_hba.conf"
    PGUSER="$user" pg_ctl -o "$(printf '%q ' "${@:2}" -c listen_addresses=)" -w start
    if [ "$database" != postgres ]; then
        psql --username "$user" --dbname postgres --set ON_ERROR_STOP=1 --set name="$database" \
            <<< 'CREATE DATABASE :"name";'
    fi
    for file in /docker-entrypoint-initdb.d/*; do
        case "$file" in
            *.sh)
                # shellcheck source=/dev/null
                if [ -x "$file" ]; then "$file"; else . "$file"; fi
                ;;
            *.sql) psql --username "$user" --dbname "$database" --set ON_ERROR_STOP=1 --file "$file" ;;
        esac
    done
    PGUSER="$user" pg_ctl -m fast -w stop
}

if [ "${1:0:1}" = - ]; then
    set -- postgres "$@"
fi
if [ "$1" = postgres ]; then
    mkdir -p "$PGDATA"
    chmod 0700 "$PGDATA" || true
    mkdir -p /var/run/postgresql
    if [ "$(id -u)" = 0 ]; then
        chown -R postgres:postgres "$PGDATA" /var/run/postgresql
        exec setpriv --reuid postgres --regid postgres --init-groups "${BASH_SOURCE[0]}" "$@"
    fi
    for name in POSTGRES_PASSWORD POSTGRES_USER POSTGRES_DB POSTGRES_INITDB_ARGS; do
        from_file "$name"
    done
    export POSTGRES_USER="${POSTGRES_USER:-postgres}"
    export POSTGRES_DB="${POSTGRES_DB:-$POSTGRES_USER}"
    [ -s "$PGDATA/PG_VERSION" ] || initialize "$@"
fi
exec "$@"
