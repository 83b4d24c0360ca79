"""What every measurement works with: a place, a PostgreSQL, how much to do, and the shared data."""

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from benchmarks.database import Databases
from benchmarks.processes import AIRQ, Service, free_port, run, serving

REAL_FILE = Path(__file__).resolve().parents[2] / "shared" / "data" / "environment_airq_measurand.csv"
"""The original measurements, 960 rows, where they are at hand."""

STATIONS = 100
FIRST_DAY = datetime(2025, 1, 1, tzinfo=UTC)
MILLION = "million"
"""The database that the reading measurements share."""


@dataclass
class Bench:
    """One run of the benchmarks.

    Args:
        directory: for files and logs; removed at the end.
        databases: on a PostgreSQL of our own.
        say: prints a line of progress.
        pairs: how often a comparison is repeated.
        seconds: how long a service is under load in each run.
        million: rows where a million is measured; fewer in a quick run.
    """

    directory: Path
    databases: Databases
    say: Callable[[str], None]
    pairs: int = 5
    seconds: int = 3
    million: int = 1_000_000
    _ready: dict[str, int] = field(default_factory=dict)

    def hourly(self, rows: int) -> Path:
        """Return a CSV of 100 stations' hourly measurements with exactly so many rows."""
        return self._simulated(rows, timedelta(hours=1))

    def quarter_hourly(self) -> Path:
        """Return a CSV of 100 stations' measurements each quarter of an hour, some million rows.

        It ends a little after midnight, so that each of its days but the last is complete.
        """
        days = -(-self.million // (STATIONS * 96))
        return self._simulated((days * 96 + 4) * STATIONS, timedelta(minutes=15))

    def _simulated(self, rows: int, interval: timedelta) -> Path:
        path = self.directory / f"{rows}-rows-each-{interval.seconds}-seconds.csv"
        if not path.exists():
            self.say(f"simulating {rows:,} rows")
            run(simulation(path, rows, interval), self.directory / "command.log")
        return path

    def whole_file(self) -> Path:
        """Return the real file, or one like it where it is not at hand."""
        if REAL_FILE.exists():
            return REAL_FILE
        path = self.directory / "like-the-real-file.csv"
        made_up = random.Random(1)
        lines = ["TimeInstant,id_entity,so2,no2,co,o3,pm10,pm2_5\n"]
        for quarter in range(96):
            for station in range(10):
                time = FIRST_DAY + timedelta(minutes=15 * quarter, milliseconds=2 * station)
                values = [made_up.uniform(0.1, most) for most in (10, 80, 1, 90, 40, 20)]
                cells = ",".join(map(repr, values))
                lines.append(f"{time:%Y-%m-%d %H:%M:%S.}{time.microsecond // 1000:03},aq_{station},{cells}\n")
        path.write_text("".join(lines))
        return path

    def million_rows(self) -> int:
        """Make sure that the database of a million rows is there; return how many it has."""
        if MILLION not in self._ready:
            source = self.quarter_hourly()
            self.say(f"loading {source.name} for the reading measurements")
            self.databases.migrate(MILLION)
            self.databases.load(MILLION, source)
            self.databases.settle(MILLION)
            count = self.databases.ask(MILLION, "SELECT count(*) FROM airq.measurement")
            self._ready[MILLION] = int(count)
        return self._ready[MILLION]

    @contextmanager
    def api(self, database: str) -> Iterator[Service]:
        """Keep one API process of airq running on a database, with every request logged to a file."""
        port = free_port()
        settings = {
            **self.databases.settings(database),
            "AIRQ_PORT": str(port),
            "AIRQ_METRICS_PORT": str(free_port()),
            "AIRQ_LOG_REQUESTS": "all",
        }
        log = self.directory / "api.log"
        with serving([*AIRQ, "serve"], port, "/readyz", log, settings) as service:
            yield service


def simulation(path: Path, rows: int, interval: timedelta) -> list[str | Path]:
    """Return the command that writes so many rows of 100 stations, in the order of time."""
    # A hair less than the last interval's end: the days are rounded to a millisecond.
    days = rows // STATIONS * interval / timedelta(days=1)
    seconds = f"{interval // timedelta(seconds=1)}s"
    options = ("--stations", str(STATIONS), "--days", f"{days:.9f}", "--interval", seconds)
    return [*AIRQ, "simulate", *options, "--start", f"{FIRST_DAY:%Y-%m-%d}", "-o", path]
