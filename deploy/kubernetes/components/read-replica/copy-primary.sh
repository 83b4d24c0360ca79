#!/bin/sh
# Copies the primary where there is no copy yet, or where the copy is too old to follow. Runs before the
# replica starts.
set -eu

refuse() {
    echo "airq-database: $1 is a placeholder that begins with change-me; write a password of your own, or run: make env" >&2
    exit 2
}
case $POSTGRES_PASSWORD in change-me*) refuse POSTGRES_PASSWORD ;; esac
case $REPLICATION_PASSWORD in change-me*) refuse AIRQ_REPLICATION_PASSWORD ;; esac

# It was promoted, and is a primary itself now. A copy that is half made or half removed has another name.
if [ -s "$PGDATA/PG_VERSION" ] && [ ! -e "$PGDATA/standby.signal" ]; then
    echo "airq-database: this replica was promoted; its data is left as it is"
    exit 0
fi

primary() {
    PGPASSWORD=$POSTGRES_PASSWORD psql --no-psqlrc --quiet --tuples-only --no-align \
        --set ON_ERROR_STOP=1 --host database --username postgres --dbname airq "$@"
}

deadline=$(($(date +%s) + 600))
until primary --command 'SELECT 1' >/dev/null; do
    # A copy that is there can serve without its primary.
    if [ -e "$PGDATA/standby.signal" ]; then exit 0; fi
    [ "$(date +%s)" -lt "$deadline" ] || exit 1
    sleep 2
done

primary <<'SQL'
SELECT 'CREATE ROLE airq_replication LOGIN REPLICATION'
    WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'airq_replication') \gexec
\getenv password REPLICATION_PASSWORD
ALTER ROLE airq_replication PASSWORD :'password';
SQL
slot=$(primary --command "SELECT wal_status FROM pg_replication_slots WHERE slot_name = 'replica'")
if [ "$slot" = lost ]; then
    primary --command "SELECT pg_drop_replication_slot('replica')" >/dev/null
    slot=
fi
if [ -n "$slot" ] && [ -e "$PGDATA/standby.signal" ]; then exit 0; fi

if [ -z "$slot" ]; then
    primary --command "SELECT pg_create_physical_replication_slot('replica', true)" >/dev/null
fi
rm -rf "$PGDATA.copying"
[ ! -e "$PGDATA" ] || mv -T "$PGDATA" "$PGDATA.copying"
rm -rf "$PGDATA.copying"
mkdir -p "$(dirname "$PGDATA")"
PGPASSWORD=$REPLICATION_PASSWORD pg_basebackup --host database --username airq_replication \
    --pgdata "$PGDATA.copying" --slot replica --checkpoint fast --wal-method stream
touch "$PGDATA.copying/standby.signal"
mv "$PGDATA.copying" "$PGDATA"
