"""Runs the Flask service under gunicorn, filled with a CSV."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.bench import Bench
from benchmarks.processes import Service, free_port, serving

DATABASE = "flask"


@contextmanager
def flask(bench: Bench, csv_file: Path) -> Iterator[Service]:
    """Serve a CSV's rows from a table of its own on the same PostgreSQL, by one gunicorn worker."""
    databases = bench.databases
    databases.make(DATABASE)
    port = free_port()
    gunicorn = (sys.executable, "-m", "gunicorn", "--workers", "1", "--bind", f"127.0.0.1:{port}")
    url = databases.url(DATABASE).replace("postgresql:", "postgresql+psycopg:")
    with serving(
        [*gunicorn, "benchmarks.peers.flask_service:app"],
        port,
        "/air_quality",
        bench.directory / "flask.log",
        {"DATABASE_URL": url, "PYTHONPATH": str(Path(__file__).parents[2])},
    ) as service:
        columns = csv_file.open().readline().strip().replace("TimeInstant", "time_instant")
        databases.psql(DATABASE, f"\\copy measurement ({columns}) FROM '{csv_file}' (FORMAT csv, HEADER)")
        databases.settle(DATABASE)
        yield service
    databases.drop(DATABASE)
