#!/bin/sh
# Refuses to make a database whose passwords are missing or placeholders, then starts as the base
# image does. Here and not in initdb.d, because a failure there leaves half a database behind.
set -eu

refuse() {
    echo "airq-database: $1 $2; write a password of your own, or run: make env" >&2
    exit 2
}

for name in POSTGRES_PASSWORD AIRQ_OWNER_PASSWORD; do
    case "$(printenv "$name" || true)" in
        change-me) refuse "$name" "is still the placeholder change-me" ;;
        '') [ -s "$PGDATA/PG_VERSION" ] || refuse "$name" "is not set" ;;
    esac
done
exec docker-entrypoint.sh "$@"
