"""`airq serve`."""

import shlex
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import click

from airq.cli import presentation
from airq.cli.database import data_directory_option, database, run
from airq.cli.loading import load_all
from airq.cli.options import PLACE
from airq.cli.statuses import PARTIAL
from airq.config import Purpose, Settings


@click.command()
@click.option(
    "--load", "files", type=PLACE, multiple=True, metavar="FILE|URL", help="Load this first."
)  # fmt: skip
@click.option("--sample", is_flag=True, help="Load made-up sample data first.")
@data_directory_option
@click.pass_obj
def serve(settings: Settings, files: tuple[str, ...], sample: bool, data_directory: str | None) -> None:
    """Serve the API (and the metrics on a port of their own) until SIGTERM or Ctrl-C.

    \b
    Examples:
      airq serve --sample
      airq serve --load measurements.csv
      AIRQ_DATABASE_URL=postgresql://airq@db/airq airq serve
    """
    from airq.api.server import check_port, url_of
    from airq.ingest.sources import check_source
    from airq.service import run_service

    # What can be known to fail is found before anything is made.
    check_port(settings.host, settings.port, "AIRQ_PORT")
    check_port(settings.host, settings.metrics_port, "AIRQ_METRICS_PORT")
    for place in files:
        check_source(place)
    purposes: list[Purpose] = ["reader"]
    default = None
    if files or sample:
        purposes.append("loader")
        named = data_directory or settings.data_directory
        if named is None and settings.url_of("reader") is None:
            from airq import embedded

            default = embedded.default_data_directory(files[0] if files else None)
    with database(settings, purposes, data_directory, default, keep=True) as urls:
        with _with_sample(files, sample) as sources:
            status = load_all(settings, urls.loader, sources) if sources else 0
        if status not in (0, PARTIAL):
            sys.exit(status)
        if urls.data_directory is not None:
            directory = shlex.quote(str(urls.data_directory))
            presentation.note(f"to add a file to it: airq load --data-directory {directory} FILE")
        presentation.note(f"serving {url_of(settings.host, settings.port)}/air_quality; Ctrl-C stops")
        try:
            run(run_service(settings, urls.reader))
        finally:
            try:
                sys.stdout.flush()
            except OSError:
                # Lines that the log could not take don't make the service's end a failure.
                presentation.discard(sys.stdout)


@contextmanager
def _with_sample(files: Sequence[str], sample: bool) -> Iterator[list[tuple[str, str]]]:
    """Give the places and names of what to load: the files, and the sample, which is made here."""
    from airq.simulation import Simulation, write_csv

    named = [(place, place) for place in files]
    if not sample:
        yield named
        return
    with tempfile.TemporaryDirectory(prefix="airq-") as directory:
        path = Path(directory) / "sample.csv"
        with path.open("wb") as file:
            write_csv(Simulation(stations=10, days=30, interval=timedelta(minutes=15)), file)
        yield [*named, (str(path), "sample")]
