"""`airq migrate`, `airq verify`, `airq simulate` and `airq settings`."""

import time
from datetime import timedelta
from typing import IO, Any

import click

from airq.cli import presentation
from airq.cli.database import data_directory_option, database, json_option, run, wait_for, wait_option
from airq.cli.options import INSTANT, INTERVAL
from airq.config import DatabaseUrl, Settings
from airq.domain.errors import ConfigurationError


@click.command()
@wait_option
@json_option
@click.pass_obj
def migrate(settings: Settings, wait: timedelta | None, as_json: bool) -> None:
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

    wait_for(settings.database_url, wait, schema=False)
    done = run(
        run_migration(
            settings.database_url,
            role(settings.loader_url),
            role(settings.reader_url),
            presentation.note,
        )
    )
    presentation.show_migration(done, as_json=as_json)


@click.command()
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

    with database(settings, ["reader"], data_directory) as urls:
        presentation.show_digests(run(digests(urls.reader, stations)), as_json=as_json)


@click.command()
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
    from airq.simulation import Simulation, SimulationError, write_csv

    try:
        simulation = Simulation(
            stations=stations, days=days, interval=interval, seed=seed, gaps=gaps, start=start
        )
    except SimulationError as error:
        raise click.UsageError(str(error)) from None
    started = time.monotonic()
    with presentation.counting(simulation.rows) as on_rows, presentation.written(output):
        rows = write_csv(simulation, output, on_rows)
        output.flush()
    presentation.note(f"{rows:,} rows in {time.monotonic() - started:.1f} s")


@click.command("settings")
@json_option
@click.pass_obj
def show_settings(settings: Settings, as_json: bool) -> None:
    """List every setting: the environment variable, its value now, and what it means."""
    for name in settings.unknown:
        presentation.note(f"{name} is set, and is no setting of airq")
    presentation.show_settings(settings, as_json=as_json)
