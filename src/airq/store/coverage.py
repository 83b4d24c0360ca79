"""How many measurements each station and month has, and the version that a load or an undo gives them."""

from collections import Counter
from datetime import date

from airq.store.ledger import Connection

Touches = Counter[tuple[int, date]]
"""(station id, first day of a month) → rows."""


async def record_touched(
    data: Connection,
    load_id: int,
    inserted: Touches,
    changed: Touches,
) -> None:
    """Enter which stations and months a load touched, and give them a new version.

    Versions are taken under the lock of loads, so they grow in the order of the commits. They are
    times, so that after a restore from a backup no version comes back with other contents.

    Args:
        inserted: (station id, month) → rows that came; negative where an undo took them away.
        changed: (station id, month) → rows whose values were replaced.
    """
    touched = sorted(inserted.keys() | changed.keys())
    if not touched:
        return
    stations, months = [key[0] for key in touched], [key[1] for key in touched]
    came = [inserted[key] for key in touched]
    await data.execute(
        "INSERT INTO airq.load_month (load_id, station_id, month, inserted, changed) "
        "SELECT $1, * FROM unnest($2::integer[], $3::date[], $4::bigint[], $5::bigint[])",
        load_id, stations, months, came, [changed[key] for key in touched],
    )  # fmt: skip
    await data.execute(
        """
        WITH next AS (
            SELECT greatest(
                (extract(epoch FROM clock_timestamp()) * 1000000)::bigint,
                (SELECT max(version) + 1 FROM airq.coverage
                 WHERE station_id = 0 AND month = '-infinity')) AS version
        )
        INSERT INTO airq.coverage AS known (station_id, month, measurements, version)
        SELECT coalesce(s, 0), coalesce(m, '-infinity'), sum(n), (SELECT version FROM next)
        FROM unnest($1::integer[], $2::date[], $3::bigint[]) AS touched(s, m, n)
        GROUP BY CUBE (s, m)
        ON CONFLICT (station_id, month) DO UPDATE SET
            measurements = known.measurements + excluded.measurements, version = excluded.version
        """,
        stations, months, came,
    )  # fmt: skip
