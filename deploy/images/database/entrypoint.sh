#!/bin/sh
# Refuses to make a database whose passwords are missing or placeholders, makes a new one under another
# name until it is whole, then starts as the base image does.
set -eu

refuse() {
    echo "airq-database: $1 $2; write a password of your own, or run: make env" >&2
    exit 2
}

# Here and not in initdb.d, which is run when half a database is there.
for name in POSTGRES_PASSWORD AIRQ_OWNER_PASSWORD; do
    case "$(printenv "$name" || true)" in
        change-me*) refuse "$name" "is still the placeholder change-me" ;;
        '') [ -s "$PGDATA/PG_VERSION" ] || refuse "$name" "is not set" ;;
    esac
done

# The base image takes every directory with a PG_VERSION for a whole database, one too whose making was
# broken off before it had its roles. So it makes a new one beside its place; 99-whole.sh moves it there.
# Where there is a database of any version, or a mount at the place that older versions had, the base image
# starts or refuses it.
making=$PGDATA.making
held=$(find /var/lib/postgresql "$PGDATA" -maxdepth 3 \( -name PG_VERSION -o -path /var/lib/postgresql/data \) \
    -not -path "$making/*" 2>/dev/null || true)
if [ "${1:-}" = postgres ] && [ -z "$held" ] && [ -x /docker-entrypoint-initdb.d/99-whole.sh ]; then
    [ ! -e "$making" ] || echo "airq-database: the first start was broken off before its end; it begins anew" >&2
    rm -rf "$making"
    PGDATA=$making docker-entrypoint.sh "$@" || true
    [ -s "$PGDATA/PG_VERSION" ] || exit 1
fi
exec docker-entrypoint.sh "$@"
