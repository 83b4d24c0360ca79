"""The database that a command works on: the one that the settings name, or one of our own."""

import signal
from collections.abc import Coroutine, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import click
import uvloop

from airq.cli import presentation
from airq.cli.options import INTERVAL
from airq.config import Purpose, Settings
from airq.domain.errors import ConfigurationError

T = TypeVar("T")

# Modules that pull in numpy, Alembic or the server are imported by the command that needs them, so that
# `airq --help` is quick and the API's process stays small.

data_directory_option = click.option(
    "--data-directory",
    type=click.Path(file_okay=False),
    help="Where the PostgreSQL of its own keeps its data (AIRQ_DATA_DIRECTORY).",
)
wait_option = click.option(
    "--wait", type=INTERVAL, default=None, metavar="INTERVAL",
    help="How long to wait for a database that does not answer yet, as in 30s or 10m.",
)  # fmt: skip
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON for scripts.")


@dataclass(frozen=True)
class Urls:
    """The database as the loader and the API reach it, and where it lies if it is one of our own."""

    loader: str
    reader: str
    data_directory: Path | None = None


@contextmanager
def database(
    settings: Settings,
    purposes: Sequence[Purpose],
    data_directory: str | None,
    default: Path | None = None,
    *,
    keep: bool = False,
) -> Iterator[Urls]:
    """Give the database's URLs; where none is set, run a PostgreSQL of our own meanwhile.

    Args:
        purposes: what the command uses the database for, at least one.
        data_directory: what the command line says of the data's place.
        default: where our own database lies if neither the command line nor the settings say.
        keep: whether our own PostgreSQL is started again where it ends by itself.

    Raises:
        ConfigurationError: the settings name a database, and not as this command reaches it; or the
            command line asks for a database of our own beside it.
    """
    named = {purpose: settings.url_of(purpose) for purpose in purposes}
    url = named[purposes[0]]
    if url is not None:
        if data_directory is not None:
            raise ConfigurationError(
                "--data-directory is for a PostgreSQL of airq's own, but a database URL is set; "
                "leave one of them out"
            )
        # What a command never uses may be missing.
        yield Urls(named.get("loader") or url, named.get("reader") or url)
        return
    from airq import embedded
    from airq.store.migrator import Role, migrate

    directory = data_directory or settings.data_directory
    place = Path(directory) if directory else default or embedded.default_root() / "default"
    with embedded.running(place, on_progress=presentation.note, keep=keep) as server:
        presentation.note(f"data directory: {place}")
        run(migrate(server.url, Role("airq_loader", None), Role("airq_reader", None)))

        def as_role(role: str) -> str:
            return server.url.replace(f"//{urlsplit(server.url).username}@", f"//{role}@", 1)

        yield Urls(as_role("airq_loader"), as_role("airq_reader"), place)


def wait_for(url: str, how_long: timedelta | None, *, schema: bool) -> None:
    """Wait until a database answers, and has the schema that is needed if a command needs one.

    Raises:
        AirqError: it did not come in time.
    """
    if how_long is None:
        return
    from airq.store.waiting import wait_for_database

    run(wait_for_database(url, how_long.total_seconds(), presentation.note, schema=schema))


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        return uvloop.run(work)
    finally:
        # Those that the work set would swallow a signal from now on, as one that shall end the waiting
        # for a PostgreSQL of our own to stop.
        for number, handler in handlers.items():
            signal.signal(number, handler)
