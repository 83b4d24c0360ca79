"""Runs Datasette on a SQLite file of the rows of a CSV."""

import csv
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from airq.domain.pollutants import NAMES
from benchmarks.bench import Bench
from benchmarks.processes import Service, free_port, serving

TABLE_PATH = (
    "/air/measurement.json?station={station}&timestamp__gte={from}&timestamp__lt={to}"
    "&_shape=objects&_size=max&_nocount=1&_nofacet=1&_nosuggest=1"
)
"""A station's day by the table's own filters. In the order of its key, which is station, then time."""

SQL_PATH = (
    "/air.json?sql=select+*+from+measurement+where+station+=+:station+and+timestamp+>=+:from+and+"
    "timestamp+<+:to+order+by+timestamp&station={station}&from={from}&to={to}&_shape=objects"
)
"""The same by a statement of the client's own."""

# What measured fastest of what Datasette offers: no threads to hand each query to, nothing computed
# that nobody asked for.
_SETTINGS = {"num_sql_threads": 0, "allow_facet": "off", "suggest_facets": "off", "default_cache_ttl": 0}


@contextmanager
def datasette(bench: Bench, csv_file: Path) -> Iterator[Service]:
    """Serve a CSV's rows from an immutable SQLite file that is stored by station and time."""
    database = bench.directory / "air.db"
    if not database.exists():
        _make(database, csv_file)
    port = free_port()
    settings = [part for name, value in _SETTINGS.items() for part in ("--setting", name, str(value))]
    # Its own command, so that no other module called datasette is found first.
    program = Path(sys.executable).with_name("datasette")
    command: list[str | Path] = [
        program,
        "serve",
        "-i",
        database,
        "-h",
        "127.0.0.1",
        "-p",
        str(port),
        *settings,
    ]
    with serving(command, port, "/-/versions.json", bench.directory / "datasette.log") as service:
        yield service


def _make(database: Path, csv_file: Path) -> None:
    with closing(sqlite3.connect(database)) as connection, csv_file.open(newline="") as lines:
        values = ", ".join(f"{name} REAL" for name in NAMES)
        connection.execute(
            f"CREATE TABLE measurement (timestamp TEXT, station TEXT, {values}, "
            "PRIMARY KEY (station, timestamp)) WITHOUT ROWID"
        )
        rows = csv.reader(lines)
        next(rows)
        connection.executemany(f"INSERT INTO measurement VALUES (?, ?{', ?' * len(NAMES)})", rows)
        connection.commit()
        connection.execute("ANALYZE")
        connection.execute("VACUUM")
