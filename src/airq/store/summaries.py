"""What there is, as a whole: the stations with the spans of their data, and what the metrics tell."""

from collections.abc import Sequence
from dataclasses import dataclass

import asyncpg

from airq.domain.stations import Station
from airq.store.connections import from_codec


@dataclass(frozen=True)
class Freshness:
    """What the metrics tell of the data; times in milliseconds since 1970."""

    newest: int | None
    measurements: int
    stations: int
    loads: dict[str, int]
    last_load: int | None


async def read_stations(connection: asyncpg.Connection, names: Sequence[str]) -> tuple[int, list[Station]]:
    """Return the version of the data as a whole, and stations by name; all of them if none is named."""
    rows = await connection.fetch(
        """
        SELECT (SELECT coalesce(max(version), 0) FROM airq.coverage
                WHERE station_id = 0 AND month = '-infinity') AS version,
            name, coalesce(measurements, 0),
            (SELECT min(time) FROM airq.measurement WHERE station_id = station.id),
            (SELECT max(time) FROM airq.measurement WHERE station_id = station.id)
        FROM airq.station LEFT JOIN airq.coverage
            ON coverage.station_id = station.id AND month = '-infinity'
        WHERE cardinality($1::text[]) = 0 OR name = ANY($1) ORDER BY name
        """,
        list(names),
    )
    stations = [
        Station(
            name,
            count,
            None if first is None else from_codec(first),
            None if last is None else from_codec(last),
        )
        for _, name, count, first, last in rows
    ]
    return (rows[0][0] if rows else 0), stations


async def read_freshness(connection: asyncpg.Connection) -> Freshness:
    """Return what the metrics tell of the data."""
    newest = await connection.fetchval("SELECT max(time) FROM airq.measurement")
    count, stations = await connection.fetchrow(
        "SELECT coalesce((SELECT measurements FROM airq.coverage "
        "WHERE station_id = 0 AND month = '-infinity'), 0), "
        "(SELECT count(*) FROM airq.station)"
    )
    loads = await connection.fetch("SELECT outcome, count(*), max(finished) FROM airq.load GROUP BY outcome")
    finished = [last for outcome, _, last in loads if outcome in ("loaded", "unchanged")]
    return Freshness(
        newest=None if newest is None else from_codec(newest),
        measurements=count,
        stations=stations,
        loads={outcome: number for outcome, number, _ in loads},
        last_load=from_codec(max(finished)) if finished else None,
    )
