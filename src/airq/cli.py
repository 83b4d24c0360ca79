"""The command line: the composition root, where everything is wired together."""

import os
import signal
import sys
import tempfile
import time
from collections.abc import Coroutine, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, TypeVar
from urllib.parse import urlsplit

import click
import uvloop

from airq import __version__, presentation
from airq.config import DatabaseUrl, Settings, read_settings
from airq.domain.errors import AirqError, ConfigurationError, UnusableInput
from airq.options import INSTANT, INTERVAL, MISSING, TIMEZONE, TOLERANCE

# Modules that pull in numpy, Alembic or the server are imported by the command that needs them, so that
# `airq --help` is quick and the API's process stays small.

FAILED, MISUSED, PARTIAL, REFUSED = 1, 2, 3, 4
"""Exit statuses besides 0; the last two are a load's."""

EPILOG = """\b
Exit status: 0 done · 1 failed · 2 wrong usage or settings ·
3 loaded, but some rows were rejected · 4 a file was refused, nothing of it is visible.

Settings are environment variables: `airq settings` lists them."""

T = TypeVar("T")


def main() -> None:
    """Run the command line; faults that people can mend are told without a traceback."""
    # A terminated command leaves by its clean-up, which stops a PostgreSQL of its own.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    try:
        airq(standalone_mode=False)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        click.echo("airq: stopped", err=True)
        sys.exit(130)
    except BrokenPipeError:
        # Whoever read our output has seen enough, as in `airq loads | head`.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except AirqError as error:
        presentation.show_error(str(error))
        sys.exit(_status_of(error))


def _status_of(error: AirqError) -> int:
    if isinstance(error, ConfigurationError):
        return MISUSED
    return REFUSED if isinstance(error, UnusableInput) else FAILED


@click.group(epilog=EPILOG, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 96})
@click.version_option(__version__, prog_name="airq", message="%(prog)s %(version)s")
@click.pass_context
def airq(context: click.Context) -> None:
    """Load air-quality CSV files into PostgreSQL and serve them over HTTP.

    Without AIRQ_DATABASE_URL, airq keeps a PostgreSQL of its own in a data directory.
    """
    context.obj = read_settings(os.environ)


data_directory_option = click.option(
    "--data-directory",
    type=click.Path(file_okay=False),
    help="Where the PostgreSQL of its own keeps its data (AIRQ_DATA_DIRECTORY).",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON for scripts.")


@dataclass(frozen=True)
class Urls:
    """The database as each role reaches it."""

    owner: str
    loader: str
    reader: str
    data_directory: Path | None = None


@contextmanager
def _database(
    settings: Settings, url: str | None, data_directory: str | None, default: Path | None = None
) -> Iterator[Urls]:
    """Give the database's URLs; where none is set, run a PostgreSQL of our own meanwhile."""
    if url is not None:
        # With all three set, each command uses its own; what a command never uses may be missing.
        owner = settings.database_url or url
        yield Urls(owner, settings.for_loader or url, settings.for_reader or url)
        return
    from airq import embedded
    from airq.store.migrator import Role, migrate

    directory = data_directory or settings.data_directory
    place = Path(directory) if directory else default or embedded.default_root() / "default"
    with embedded.running(place, on_progress=presentation.note) as server:
        _run(migrate(server.url, Role("airq_loader", None), Role("airq_reader", None)))

        def as_role(role: str) -> str:
            user = urlsplit(server.url).username
            return server.url.replace(f"//{user}@", f"//{role}@", 1)

        yield Urls(server.url, as_role("airq_loader"), as_role("airq_reader"), place)


def _run(work: Coroutine[Any, Any, T]) -> T:
    return uvloop.run(work)


@airq.command()
@click.option("--load", "files", multiple=True, metavar="FILE|URL", help="Load this first.")
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
    from airq import embedded
    from airq.api.server import check_port
    from airq.service import run_service

    check_port(settings.host, settings.port, "AIRQ_PORT")
    check_port(settings.host, settings.metrics_port, "AIRQ_METRICS_PORT")
    default = None
    if files or sample:
        default = embedded.default_data_directory(files[0] if files else None)
    with (
        _database(settings, settings.for_reader, data_directory, default) as urls,
        ExitStack() as stack,
    ):
        if urls.data_directory is not None:
            presentation.note(f"data directory: {urls.data_directory}")
        sources = [*files, *([stack.enter_context(_sample())] if sample else [])]
        if sources:
            status = _load_all(urls.loader, sources, _default_options(), as_json=False)
            if status not in (0, PARTIAL):
                sys.exit(status)
        _run(run_service(settings, urls.reader))


@contextmanager
def _sample() -> Iterator[str]:
    """Make the sample's CSV; its directory's name is not worth keeping, so it goes by a plain one."""
    from datetime import timedelta

    from airq.simulation import Simulation, write_csv

    with tempfile.TemporaryDirectory(prefix="airq-") as directory:
        path = Path(directory) / "sample.csv"
        with path.open("wb") as file:
            write_csv(Simulation(stations=10, days=30, interval=timedelta(minutes=15)), file)
        yield str(path)


def _default_options() -> Any:
    from airq.loads import Options

    return Options()


@airq.command()
@click.argument("files", nargs=-1, required=True, metavar="FILE|URL|-…")
@click.option(
    "--timezone", type=TIMEZONE, default="UTC", show_default=True,
    help="Where times without a zone were read, as in Europe/Madrid.",
)  # fmt: skip
@click.option(
    "--missing", type=MISSING, multiple=True, metavar="NUMBER",
    help="A value that means “no value”, besides -999 and -200. Repeat it for several.",
)  # fmt: skip
@click.option(
    "--max-rejects", "tolerance", type=TOLERANCE, default="5%", show_default=True,
    help="Refuse a file with more rejected rows: a share (5%) or a number of rows (100).",
)  # fmt: skip
@data_directory_option
@json_option
@click.pass_obj
def load(
    settings: Settings,
    files: tuple[str, ...],
    timezone: Any,
    missing: tuple[float, ...],
    tolerance: Any,
    data_directory: str | None,
    as_json: bool,
) -> None:
    """Load CSV files: paths, URLs, or - for standard input; plain or gzip.

    The first line names the columns, in any order: a time, a station and at least one pollutant (so2,
    no2, co, o3, pm10, pm2_5). Fields are separated by comma, semicolon or tab.

    Each file enters as a whole or not at all. Rows that can't be taken are listed with line, field,
    value and reason; the others load. Loading a file again changes nothing; corrected values replace
    the old ones, and `airq loads undo` takes a load back.

    \b
    Examples:
      airq load measurements.csv
      airq load --timezone Europe/Madrid --max-rejects 0 2016-*.csv.gz
      curl -s https://example.org/today.csv | airq load --json -
    """
    from airq.ingest.reader import DEFAULT_MISSING
    from airq.loads import Options

    options = Options(timezone, (*DEFAULT_MISSING, *missing), tolerance)
    with _database(settings, settings.for_loader, data_directory) as urls:
        sys.exit(_load_all(urls.loader, files, options, as_json=as_json))


def _load_all(url: str, files: Sequence[str], options: Any, *, as_json: bool) -> int:
    """Load each file; the result is the gravest exit status."""
    from airq.ingest.sources import open_source
    from airq.loads import Refused, read_rejects
    from airq.loads import load as load_source

    gravest = 0
    for place in files:
        try:
            with open_source(place, sys.stdin.buffer) as source:
                with presentation.progress(source.name, source.size, quiet=as_json) as watcher:
                    entry = _run(load_source(url, source, options, watcher))
                status = PARTIAL if entry.rejected else 0
        except Refused as refusal:
            entry, status = refusal.load, REFUSED
        except UnusableInput as error:
            # The file could not be opened at all, so the ledger knows nothing of it.
            presentation.show_unopened(place, str(error), as_json=as_json)
            gravest = max(gravest, REFUSED)
            continue
        rejects = _run(read_rejects(url, entry.id, 10)) if entry.rejected or entry.repeated else []
        presentation.show_load(entry, rejects, as_json=as_json)
        gravest = max(gravest, status)
    return gravest


@airq.group(invoke_without_command=True)
@click.option("--limit", type=click.IntRange(1), default=20, show_default=True, help="The most loads.")
@data_directory_option
@json_option
@click.pass_context
def loads(context: click.Context, limit: int, data_directory: str | None, as_json: bool) -> None:
    """List loads, the newest first; show one, or undo one."""
    if context.invoked_subcommand is not None:
        return
    from airq.loads import read_loads

    settings: Settings = context.obj
    with _database(settings, settings.for_loader, data_directory) as urls:
        presentation.show_loads(_run(read_loads(urls.loader, limit)), as_json=as_json)


@loads.command()
@click.argument("number", type=click.IntRange(1))
@click.option(
    "--limit",
    type=click.IntRange(1),
    default=100,
    show_default=True,
    help="The most rejected rows.",
)
@data_directory_option
@json_option
@click.pass_obj
def show(settings: Settings, number: int, limit: int, data_directory: str | None, as_json: bool) -> None:
    """Show a load with its rejected rows and the stations and months that it touched."""
    from airq.loads import read_load

    with _database(settings, settings.for_loader, data_directory) as urls:
        entry, rejects, touched = _run(read_load(urls.loader, number, limit))
    presentation.show_load(entry, rejects, touched, as_json=as_json, raw=True)


@loads.command()
@click.argument("number", type=click.IntRange(1))
@data_directory_option
@json_option
@click.pass_obj
def undo(settings: Settings, number: int, data_directory: str | None, as_json: bool) -> None:
    """Take a load back: its new rows go, the values that it replaced return.

    It must be the newest one that touched its rows.
    """
    from airq.loads import undo_load

    with (
        _database(settings, settings.for_loader, data_directory) as urls,
        presentation.progress(f"load {number}", 0, quiet=True) as watcher,
    ):
        entry = _run(undo_load(urls.loader, number, watcher))
    presentation.show_load(entry, [], as_json=as_json)


@airq.command()
@json_option
@click.pass_obj
def migrate(settings: Settings, as_json: bool) -> None:
    """Bring the schema of AIRQ_DATABASE_URL up to date, and make the roles of the other URLs.

    The roles and passwords are those in AIRQ_LOADER_URL and AIRQ_READER_URL: to change a password,
    change it there and run this again. A PostgreSQL of airq's own is migrated by itself.
    """
    from airq.store.migrator import Role
    from airq.store.migrator import migrate as run_migration

    if settings.database_url is None:
        raise ConfigurationError(
            "AIRQ_DATABASE_URL is not set; it must name the database as the schema's owner, as in "
            "postgresql://airq_owner:password@host/airq"
        )

    def role(url: DatabaseUrl | None) -> Role | None:
        return Role.of(url) if url else None

    done = _run(
        run_migration(
            settings.database_url,
            role(settings.loader_url),
            role(settings.reader_url),
            presentation.note,
        )
    )
    presentation.show_migration(done, as_json=as_json)


@airq.command()
@click.option("--stations", is_flag=True, help="A row for each station and month.")
@data_directory_option
@json_option
@click.pass_obj
def verify(settings: Settings, stations: bool, data_directory: str | None, as_json: bool) -> None:
    """Show rows and a hash of the contents by month: equal tables mean equal databases.

    The hash depends on station names, times and values alone. Compare two databases, for instance
    before and after a restore, with `diff`.
    """
    from airq.store.verification import digests

    with _database(settings, settings.for_reader, data_directory) as urls:
        presentation.show_digests(_run(digests(urls.reader, stations)), as_json=as_json)


@airq.command()
@click.option("--stations", type=click.IntRange(1), default=10, show_default=True)
@click.option("--days", type=click.FloatRange(0, min_open=True), default=30, show_default=True)
@click.option("--interval", type=INTERVAL, default="15m", show_default=True, help="As in 10s, 15m, 1h.")
@click.option("--start", type=INSTANT, default="2025-01-01", show_default=True, help="First moment, UTC.")
@click.option("--seed", type=click.IntRange(0), default=1, show_default=True, help="Another seed, other air.")
@click.option(
    "--gaps", type=click.FloatRange(0, 1), default=0.0, show_default=True,
    help="Share of missing values, in outages of hours.",
)  # fmt: skip
@click.option(
    "-o",
    "--output",
    type=click.File("wb"),
    default="-",
    help="File to write; standard output if left out.",
)
def simulate(
    stations: int, days: float, interval: Any, start: Any, seed: int, gaps: float, output: IO[bytes]
) -> None:
    """Write made-up but plausible measurements as CSV; the same options give the same bytes.

    \b
    Examples:
      airq simulate --stations 3 --days 7 | head
      airq simulate --stations 100 --days 417 --interval 1h -o million.csv
    """
    from airq.simulation import Simulation, write_csv

    simulation = Simulation(
        stations=stations, days=days, interval=interval, seed=seed, gaps=gaps, start=start
    )
    started = time.monotonic()
    with presentation.counting(simulation.rows) as on_rows:
        rows = write_csv(simulation, output, on_rows)
    presentation.note(f"{rows:,} rows in {time.monotonic() - started:.1f} s")


@airq.command("settings")
@json_option
@click.pass_obj
def show_settings(settings: Settings, as_json: bool) -> None:
    """List every setting: the environment variable, its value now, and what it means."""
    presentation.show_settings(settings, as_json=as_json)
