"""Runs the Flask service under gunicorn, filled with a CSV, without or with its answers in Redis."""

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from benchmarks.bench import Bench
from benchmarks.processes import REPOSITORY, Service, free_port, run, serving

DATABASE = "flask"
_PLAIN, _CACHED = "benchmarks.peers.flask_service", "benchmarks.peers.flask_cached_service"


@contextmanager
def flask(bench: Bench, csv_file: Path) -> Iterator[Service]:
    """Serve a CSV's rows from a table of its own on the same PostgreSQL, by one gunicorn worker."""
    with filled(bench, csv_file), _served(bench, _PLAIN, {}) as service:
        yield service


@contextmanager
def flask_cached(bench: Bench, redis: Service, *, keeping_compressed: bool) -> Iterator[Service]:
    """Serve the rows of a database that is `filled` by one gunicorn worker, which caches them in a Redis.

    Args:
        keeping_compressed: compressed answers too, so that no hit is compressed again.
    """
    settings = {
        "REDIS_URL": f"redis://127.0.0.1:{redis.port}/{int(keeping_compressed)}",
        "KEEP_COMPRESSED": str(int(keeping_compressed)),
    }
    with _served(bench, _CACHED, settings) as service:
        yield service


@contextmanager
def filled(bench: Bench, csv_file: Path) -> Iterator[None]:
    """Keep the service's database, with a CSV's rows in its table."""
    databases = bench.databases
    databases.make(DATABASE)
    create = [sys.executable, "-c", f"import {_PLAIN}"]
    run(create, bench.directory / "command.log", _settings(bench))
    columns = csv_file.open().readline().strip().replace("TimeInstant", "time_instant")
    databases.psql(DATABASE, f"\\copy measurement ({columns}) FROM '{csv_file}' (FORMAT csv, HEADER)")
    databases.settle(DATABASE)
    yield
    databases.drop(DATABASE)


@contextmanager
def _served(bench: Bench, module: str, settings: Mapping[str, str]) -> Iterator[Service]:
    port = free_port()
    gunicorn = (sys.executable, "-m", "gunicorn", "--workers", "1", "--bind", f"127.0.0.1:{port}")
    log = bench.directory / f"flask-{port}.log"
    with serving(
        [*gunicorn, f"{module}:app"], port, "/air_quality", log, {**_settings(bench), **settings}
    ) as service:
        yield service


def _settings(bench: Bench) -> dict[str, str]:
    url = bench.databases.url(DATABASE).replace("postgresql:", "postgresql+psycopg:")
    return {"DATABASE_URL": url, "PYTHONPATH": str(REPOSITORY)}
