"""Reading a CSV in one go, with what came of it in a form that compares."""

import io
import struct
from dataclasses import dataclass, field
from typing import Any, BinaryIO

import numpy as np
from hypothesis import settings

from airq.ingest.reader import Reader, Reject

THOROUGH = settings(deadline=None, max_examples=300)
"""How property tests of the reader run: a busy machine is no fault of theirs."""

HEADER = b"TimeInstant,id_entity,so2,no2\n"
ROW = b"2016-10-01 00:00:00,aq_salvia,1.5,2\n"


@dataclass(frozen=True)
class Row:
    """One measurement. Values are written by their bits: a NaN equals a NaN, −0 differs from 0."""

    line: int
    station: str
    time: int
    values: dict[str, str]


@dataclass
class Reading:
    """A whole file as it was read."""

    rows: list[Row] = field(default_factory=list)
    rejects: list[Reject] = field(default_factory=list)
    stations: list[str] = field(default_factory=list)
    extra: tuple[str, ...] = ()
    missing: int = 0

    def measurements(self) -> list[tuple[str, int, dict[str, str]]]:
        """Return the rows without their place in the file."""
        return [(row.station, row.time, row.values) for row in self.rows]

    def reasons(self) -> list[tuple[int, str, str, str]]:
        """Return the rejects without the line's text."""
        return [(r.line, r.field, r.value, r.reason) for r in self.rejects]


def bits(value: float | None) -> str:
    """Return a double's bits in hexadecimal; "" for None and NaN."""
    return "" if value is None or np.isnan(value) else struct.pack(">d", value).hex()


def read(data: bytes, **options: Any) -> Reading:
    """Read a CSV from its bytes; the options are the `Reader`'s."""
    return read_stream(io.BytesIO(data), **options)


def read_stream(stream: BinaryIO, **options: Any) -> Reading:
    """Read a CSV to its end; the options are the `Reader`'s."""
    reader = Reader(stream, **options)
    reading = Reading(stations=reader.stations)
    for batch in reader.batches():
        assert [reject.line for reject in batch.rejects] == sorted(r.line for r in batch.rejects)
        assert batch.rows_read == len(batch.lines) + len(batch.rejects)
        for place, line in enumerate(batch.lines.tolist()):
            values = {name: bits(column[place]) for name, column in batch.values.items()}
            station = reader.stations[batch.stations[place]]
            reading.rows.append(Row(line, station, int(batch.times[place]), values))
        reading.rejects += batch.rejects
        reading.missing += batch.missing
    reading.extra = reader.header.extra
    return reading
