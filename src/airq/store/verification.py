"""A database's contents as a short table: equal tables mean equal contents."""

from dataclasses import dataclass

from airq.domain.pollutants import NAMES
from airq.store.connections import connected


@dataclass(frozen=True)
class Digest:
    """The contents of a month, or of a station in a month.

    Args:
        month: as in 2016-10.
        station: its name; None for all stations together.
        measurements: their number.
        content: hexadecimal; depends on station names, times and values alone, not on their order
            or on any key or load.
    """

    month: str
    station: str | None
    measurements: int
    content: str


_VALUES = " || ".join(f"coalesce(float8send({name}), '\\x4e'::bytea)" for name in NAMES)


def _sum(first: int) -> str:
    """Return SQL that adds up 15 hexadecimal digits of the rows' hashes, modulo 2^60."""
    return f"mod(sum(('x' || substr(hash, {first}, 15))::bit(60)::bigint::numeric), 2::numeric ^ 60)"


# The hashes of rows are added up, so that order and partitions play no part and no row outlasts its
# turn in memory: SHA-256 over the exact bytes of a row, which are its name, NUL, its time, then each
# value's eight bytes, or the one byte "N" for a missing one.
_DIGESTS = f"""
    WITH row AS (
        SELECT to_char(time AT TIME ZONE 'UTC', 'YYYY-MM') AS month, {{station}} AS station,
            encode(sha256(
                convert_to(name, 'UTF8') || '\\x00'::bytea
                || int8send((extract(epoch FROM time) * 1000)::bigint) || {_VALUES}
            ), 'hex') AS hash
        FROM airq.measurement JOIN airq.station ON station.id = station_id
    )
    SELECT month, station, count(*), {_sum(1)}, {_sum(16)}
    FROM row GROUP BY month, station ORDER BY month, station COLLATE "C"
"""


async def digests(url: str, by_station: bool) -> list[Digest]:
    """Return the digests of a database, by month and, if asked, station."""
    async with connected(url, "airq verify") as connection:
        rows = await connection.fetch(_DIGESTS.format(station="name" if by_station else "NULL::text"))
    return [
        Digest(month, station, count, f"{int(high):015x}{int(low):015x}")
        for month, station, count, high, low in rows
    ]
