"""Stations, measurements partitioned by month, coverage, the ledger of loads."""

from alembic import op

revision = "0001"
down_revision = None

STATEMENTS = (
    # The API shows names in this order whatever the server's locale, hence the collation.
    """
    CREATE TABLE airq.station (
        id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        name text COLLATE "C" NOT NULL UNIQUE CHECK (name <> '')
    )
    """,
    # No foreign keys on measurements: a check for each row would cost more than the row itself.
    # Stations are never deleted and loads never leave the ledger, by privilege. No index either: each
    # partition gets its own by index_partition, once its first rows are there.
    """
    CREATE TABLE airq.measurement (
        time timestamptz NOT NULL,
        so2 double precision,
        no2 double precision,
        co double precision,
        o3 double precision,
        pm10 double precision,
        pm2_5 double precision,
        station_id integer NOT NULL,
        load_id integer NOT NULL
    ) PARTITION BY RANGE (time)
    """,
    """
    CREATE TABLE airq.load (
        id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        kind text NOT NULL CHECK (kind IN ('load', 'undo')),
        undoes integer REFERENCES airq.load,
        file text NOT NULL,
        sha256 text,
        rows_read bigint NOT NULL DEFAULT 0,
        inserted bigint NOT NULL DEFAULT 0,
        changed bigint NOT NULL DEFAULT 0,
        unchanged bigint NOT NULL DEFAULT 0,
        repeated bigint NOT NULL DEFAULT 0,
        rejected bigint NOT NULL DEFAULT 0,
        missing bigint NOT NULL DEFAULT 0,
        started timestamptz NOT NULL DEFAULT clock_timestamp(),
        finished timestamptz,
        outcome text NOT NULL DEFAULT 'running'
            CHECK (outcome IN ('running', 'loaded', 'unchanged', 'refused', 'failed', 'interrupted')),
        reason text
    )
    """,
    """
    CREATE TABLE airq.rejected_row (
        load_id integer NOT NULL REFERENCES airq.load,
        line bigint NOT NULL,
        raw text NOT NULL,
        field text NOT NULL,
        value text NOT NULL,
        reason text NOT NULL,
        PRIMARY KEY (load_id, line)
    )
    """,
    """
    CREATE TABLE airq.load_month (
        load_id integer NOT NULL REFERENCES airq.load,
        station_id integer NOT NULL,
        month date NOT NULL,
        inserted bigint NOT NULL,
        changed bigint NOT NULL,
        PRIMARY KEY (load_id, station_id, month)
    )
    """,
    # What a load replaced, so that it can be undone.
    """
    CREATE TABLE airq.replaced_measurement (
        time timestamptz NOT NULL,
        so2 double precision,
        no2 double precision,
        co double precision,
        o3 double precision,
        pm10 double precision,
        pm2_5 double precision,
        station_id integer NOT NULL,
        load_id integer NOT NULL,
        replaced_by integer NOT NULL REFERENCES airq.load,
        PRIMARY KEY (replaced_by, station_id, time)
    )
    """,
    # One row a station and month, and coarser ones for all stations (0) and all months (-infinity):
    # the version of whatever a query asks for is the largest of a few rows.
    """
    CREATE TABLE airq.coverage (
        station_id integer NOT NULL,
        month date NOT NULL,
        measurements bigint NOT NULL,
        version bigint NOT NULL,
        PRIMARY KEY (station_id, month)
    )
    """,
    # A month's partition is made beside the table and attached, which takes a SHARE UPDATE EXCLUSIVE
    # lock on the table that no reader waits for; CREATE TABLE … PARTITION OF would lock them out. The
    # loader owns nothing, so this runs with the owner's rights.
    """
    CREATE FUNCTION airq.add_partition(month date) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    DECLARE
        partition text := 'measurement_' || to_char(month, 'YYYY_MM');
        granted record;
    BEGIN
        IF month NOT BETWEEN DATE '1899-12-01' AND DATE '2100-01-01' THEN
            RAISE EXCEPTION 'no partition for %: the year is outside of 1900 to 2099', month;
        END IF;
        EXECUTE format(
            'CREATE TABLE airq.%I (LIKE airq.measurement INCLUDING DEFAULTS INCLUDING CONSTRAINTS)',
            partition);
        FOR granted IN
            SELECT a.privilege_type, a.grantee::regrole AS grantee
            FROM pg_class c, aclexplode(c.relacl) a
            WHERE c.oid = 'airq.measurement'::regclass AND a.grantee NOT IN (0, c.relowner)
        LOOP
            EXECUTE format('GRANT %s ON airq.%I TO %s',
                granted.privilege_type, partition, granted.grantee);
        END LOOP;
        EXECUTE format('ALTER TABLE airq.measurement ATTACH PARTITION airq.%I '
            'FOR VALUES FROM (%L) TO (%L)',
            partition,
            to_char(month, 'YYYY-MM-01') || ' 00:00:00+00',
            to_char(month + interval '1 month', 'YYYY-MM-01') || ' 00:00:00+00');
    END
    $$
    """,
    # CREATE UNIQUE INDEX lets readers read on; ADD PRIMARY KEY would lock them out of the partition.
    """
    CREATE FUNCTION airq.index_partition(month date) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    DECLARE
        partition text := 'measurement_' || to_char(month, 'YYYY_MM');
    BEGIN
        EXECUTE format('CREATE UNIQUE INDEX %I ON airq.%I (station_id, time)',
            partition || '_key', partition);
        EXECUTE format('CREATE INDEX %I ON airq.%I (time)', partition || '_time', partition);
    END
    $$
    """,
    "REVOKE ALL ON FUNCTION airq.add_partition(date), airq.index_partition(date) FROM PUBLIC",
)


def upgrade() -> None:
    """Make everything."""
    for statement in STATEMENTS:
        op.execute(statement)
