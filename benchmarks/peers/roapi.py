"""Runs ROAPI on the rows of a CSV, held in memory."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.bench import Bench
from benchmarks.processes import Service, free_port, serving

PATH = (
    "/api/tables/measurement?filter[station]='{station}'&filter[timestamp]gte='{from}'"
    "&filter[timestamp]lt='{to}'&sort=timestamp"
)
"""A station's day by the table's own filters."""


@contextmanager
def roapi(bench: Bench, csv_file: Path) -> Iterator[Service]:
    """Serve a CSV's rows from memory; it uses every CPU."""
    table = bench.directory / "measurement.csv"
    if not table.exists():
        with csv_file.open() as source, table.open("w") as out:
            out.write(next(source).replace("TimeInstant,id_entity", "timestamp,station"))
            out.writelines(source)
    port = free_port()
    addresses = [
        part
        for option, number in (("http", port), ("postgres", free_port()), ("flight-sql", free_port()))
        for part in (f"--addr-{option}", f"127.0.0.1:{number}")
    ]
    program = Path(sys.executable).with_name("roapi")
    command: list[str | Path] = [program, *addresses, "--table", f"measurement={table}"]
    with serving(command, port, "/api/schema", bench.directory / "roapi.log") as service:
        yield service
