"""`airq load`, `airq loads` and `airq purge`."""

import io
import re
import sys
import time
from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, BinaryIO

import click

from airq.cli import presentation
from airq.cli.database import data_directory_option, database, json_option, run, wait_for, wait_option
from airq.cli.options import MISSING, NUMBER, PLACE, TIMEZONE, TOLERANCE
from airq.cli.statuses import GRAVITY, PARTIAL, REFUSED, status_of
from airq.config import Settings
from airq.domain.errors import AirqError, ConfigurationError, UnusableInput
from airq.domain.tags import tags_touched
from airq.purging import Caches
from airq.purging import purge as purge_caches

if TYPE_CHECKING:
    from airq.loads import Options

SHOWN_REJECTS = 10
"""Rejected rows that a load shows; `airq loads show` has all of them."""


@click.command()
@click.argument("files", nargs=-1, required=True, type=PLACE, metavar="FILE|URL|-…")
@click.option(
    "--timezone", type=TIMEZONE, default="UTC", show_default=True,
    help="Where times without a zone were read, as in Europe/Madrid.",
)  # fmt: skip
@click.option(
    "--missing", type=MISSING, multiple=True, metavar="MARK",
    help="A number or text that means “no value”, besides -999 and -200. Repeat it for several.",
)  # fmt: skip
@click.option(
    "--max-rejects", "tolerance", type=TOLERANCE, default="5%", show_default=True,
    help="Refuse a file with more rejected rows: a share (5%) or a number of rows (100).",
)  # fmt: skip
@wait_option
@data_directory_option
@json_option
@click.pass_obj
def load(
    settings: Settings,
    files: tuple[str, ...],
    timezone: Any,
    missing: tuple[float | str, ...],
    tolerance: Any,
    wait: timedelta | None,
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
    with database(settings, ["loader"], data_directory) as urls:
        wait_for(urls.loader, wait, schema=True)
        named = [(place, place) for place in files]
        sys.exit(load_all(settings, urls.loader, named, options, as_json=as_json))


def load_all(
    settings: Settings,
    url: str,
    sources: Sequence[tuple[str, str]],
    options: "Options | None" = None,
    *,
    as_json: bool = False,
) -> int:
    """Load each source, given as its place and the name that it goes by; return the gravest exit status.

    A name that is the place itself is printed and stored as `name_of` tells.
    """
    from airq.ingest.sources import name_of, open_source
    from airq.loads import Options, Refused, enter_unopened, read_load, read_rejects
    from airq.loads import load as load_source

    gravest = 0
    tags: list[str] = []
    try:
        for place, given in sources:
            name = name_of(place) if given == place else given
            try:
                with open_source(place, _standard_input()) as source:
                    source.name = name
                    with presentation.progress(source.name, source.size, notices_only=as_json) as watcher:
                        entry = run(load_source(url, source, options or Options(), watcher))
                        status = PARTIAL if entry.rejected else 0
                        try:
                            # What is stale must be known before anything is printed, which can fail.
                            _, rejects, touched = run(read_load(url, entry.id, SHOWN_REJECTS))
                            tags += tags_touched((one.station, one.month) for one in touched)
                        except AirqError as fault:
                            rejects, status = [], status_of(fault)
                            watcher.notice(
                                f"load {entry.id} is committed, and what it touched can't be read: {fault}; "
                                "caches are not purged of it (airq purge --all)"
                            )
            except Refused as refusal:
                entry, status = refusal.load, REFUSED
                rejects = run(read_rejects(url, entry.id, SHOWN_REJECTS))
            except UnusableInput as error:
                status = status_of(error)
                outcome = "refused" if status == REFUSED else "failed"
                reason = str(error).removeprefix(f"{name}: ")
                try:
                    entry, rejects = run(enter_unopened(url, name, outcome, reason)), []
                except AirqError as fault:
                    # What is wrong with the file is told all the same.
                    presentation.show_unopened(name, outcome, reason, as_json=as_json)
                    presentation.note(f"the ledger does not know of {name}: {fault}")
                    gravest = max(gravest, status, key=GRAVITY.index)
                    continue
            except AirqError as error:
                presentation.show_failed(name, str(error), as_json=as_json)
                raise
            presentation.show_load(entry, rejects, as_json=as_json)
            gravest = max(gravest, status, key=GRAVITY.index)
    finally:
        # What was loaded before a fault is stale in the caches all the same, be it one of printing.
        _purge_touched(settings, url, tags)
    return gravest


def _standard_input() -> BinaryIO:
    # Without one, as behind `<&-`, it is as empty as /dev/null.
    return sys.stdin.buffer if sys.stdin else io.BytesIO()


@click.group(invoke_without_command=True)
@click.option("--limit", type=NUMBER, default=20, show_default=True, help="The most loads.")
@data_directory_option
@json_option
@click.pass_context
def loads(context: click.Context, limit: int, data_directory: str | None, as_json: bool) -> None:
    """List loads, the newest first; show one, or undo one."""
    if context.invoked_subcommand is not None:
        return
    from airq.loads import read_loads

    settings: Settings = context.obj
    with database(settings, ["loader"], data_directory) as urls:
        presentation.show_loads(run(read_loads(urls.loader, limit)), as_json=as_json)


@loads.command()
@click.argument("number", type=NUMBER)
@click.option("--limit", type=NUMBER, default=100, show_default=True, help="The most rejected rows.")
@data_directory_option
@json_option
@click.pass_obj
def show(settings: Settings, number: int, limit: int, data_directory: str | None, as_json: bool) -> None:
    """Show a load with its rejected rows and the stations and months that it touched."""
    from airq.loads import read_load

    with database(settings, ["loader"], data_directory) as urls:
        entry, rejects, touched = run(read_load(urls.loader, number, limit))
    presentation.show_load(entry, rejects, touched, as_json=as_json, raw=True)


@loads.command()
@click.argument("number", type=NUMBER)
@data_directory_option
@json_option
@click.pass_obj
def undo(settings: Settings, number: int, data_directory: str | None, as_json: bool) -> None:
    """Take a load back: its new rows go, the values that it replaced return.

    It must be the newest one that touched its rows.
    """
    from airq.loads import read_load, undo_load

    with (
        database(settings, ["loader"], data_directory) as urls,
        presentation.progress(f"load {number}", 0, notices_only=True) as watcher,
    ):
        entry = run(undo_load(urls.loader, number, watcher))
        _, _, touched = run(read_load(urls.loader, entry.id, 1))
        try:
            presentation.show_load(entry, [], as_json=as_json)
        finally:
            _purge_touched(settings, urls.loader, tags_touched((one.station, one.month) for one in touched))


@click.command()
@click.option("--tag", "tags", multiple=True, metavar="TAG", help="Drop answers with this tag; repeatable.")
@click.option("--all", "everything", is_flag=True, help="Drop every answer.")
@json_option
@click.pass_obj
def purge(settings: Settings, tags: tuple[str, ...], everything: bool, as_json: bool) -> None:
    """Drop answers from the HTTP caches that AIRQ_PURGE_URL names.

    A load purges what it changed by itself. Tags are those of answers' Cache-Tag header: all,
    m:2016-10, s:aq_salvia, s:aq_salvia/2016-10.

    \b
    Examples:
      airq purge --all
      airq purge --tag s:aq_salvia --tag m:2016-10
    """
    if everything == bool(tags):
        raise click.UsageError("Name what to drop: --tag TAG for some answers, or --all.")
    for tag in tags:
        if not re.fullmatch("[!-~]+", tag):
            raise click.UsageError(
                f"--tag “{tag}” must be printable ASCII without spaces, as in answers' Cache-Tag header: "
                "percent-encode other characters of a station's name."
            )
    caches = _caches(settings)
    if caches is None:
        raise ConfigurationError(
            "AIRQ_PURGE_URL is not set; it must name the caches, as in http://cache:8081/"
        )
    done = purge_caches(caches, None if everything else tags)
    presentation.show_purge(done, as_json=as_json)
    if done.failures:
        sys.exit(1)


def _caches(settings: Settings) -> Caches | None:
    if settings.purge_url is None or settings.purge_token is None:
        return None
    return Caches(settings.purge_url, settings.purge_token)


def _purge_touched(settings: Settings, url: str, tags: Sequence[str]) -> None:
    """Drop what loads touched from the caches, twice.

    An answer whose reading began before a load's commit can arrive in a cache behind the first purge; by
    the second, every such reading has ended.
    """
    caches = _caches(settings)
    if caches is None or not tags:
        return
    unique = list(dict.fromkeys(tags))
    _wait_for_replicas(settings, url)
    presentation.note_purge(purge_caches(caches, unique), settings.shared_max_age_seconds)
    seconds = settings.purge_again_seconds
    if seconds:
        presentation.note(
            f"purging again in {seconds:g} s, when no answer from before is on its way any more"
        )
        time.sleep(seconds)
        presentation.note_purge(purge_caches(caches, unique), settings.shared_max_age_seconds)


def _wait_for_replicas(settings: Settings, url: str) -> None:
    """Wait until replicas show what was loaded: what the API reads there goes into the caches."""
    if settings.replica_url is None:
        return
    from airq.store.waiting import wait_for_replay

    try:
        faults = run(
            wait_for_replay(url, settings.replica_url, settings.replica_wait_seconds, presentation.note)
        )
    except AirqError as error:
        faults = [str(error)]
    for fault in faults:
        presentation.note(
            f"{fault}; answers read there may be old for up to {settings.shared_max_age_seconds:,} s"
        )
