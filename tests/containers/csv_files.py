"""The CSV that the container tests load: the real file's rows where it is here, and months of our own."""

import csv
import io
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

HEADER = "TimeInstant,id_entity,so2,no2,co,o3,pm10,pm2_5"
POLLUTANTS = ("so2", "no2", "co", "o3", "pm10", "pm2_5")
STATIONS = ("aq_one", "aq_two")
FIRST, END = datetime(2025, 1, 1, tzinfo=UTC), datetime(2025, 4, 1, tzinfo=UTC)
STEP = timedelta(hours=6)

Key = tuple[str, str]
"""(timestamp as the API writes it, station)"""


def write(path: Path, first_rows: str = "", *, changes: Mapping[Key, float] | None = None) -> None:
    """Write the CSV.

    Args:
        first_rows: rows that come first, without a header.
        changes: (timestamp, station) → another value for its `so2`.
    """
    lines = [HEADER, *first_rows.splitlines()]
    lines += [",".join(map(str, row)) for row in _rows(changes or {})]
    path.write_text("\n".join(lines) + "\n")
    path.chmod(0o644)


def _rows(changes: Mapping[Key, float]) -> Iterator[tuple[object, ...]]:
    moment, count = FIRST, 0
    while moment < END:
        for station in STATIONS:
            count += 1
            values = [count / 7, count / 11, count / 1300, count / 17, count / 19, count / 23]
            values[0] = changes.get((as_served(moment), station), values[0])
            yield (f"{moment:%Y-%m-%d %H:%M:%S}.000", station, *values)
        moment += STEP


def as_served(moment: datetime) -> str:
    """Return a time as the API writes it."""
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03}Z"


def read(path: Path) -> dict[Key, dict[str, float | None]]:
    """Return what the API must serve of a file: (timestamp, station) → values."""
    served = {}
    for row in csv.DictReader(io.StringIO(path.read_text())):
        moment = datetime.strptime(row["TimeInstant"], "%Y-%m-%d %H:%M:%S.%f").replace(tzinfo=UTC)
        values = {name: float(row[name]) if row[name] else None for name in POLLUTANTS}
        served[as_served(moment), row["id_entity"]] = values
    return served
