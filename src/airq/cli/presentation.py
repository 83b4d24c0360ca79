"""What commands print: tables and colors for people, JSON for scripts."""

import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, fields
from typing import IO, TYPE_CHECKING, Any

import msgspec
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from airq.config import DatabaseUrl, Secret, Settings
from airq.domain.errors import AirqError
from airq.domain.instants import format_instant
from airq.domain.printing import visible
from airq.purging import Purged
from airq.store.ledger import Load, RejectedRow, Touched
from airq.store.verification import Digest

if TYPE_CHECKING:
    # They bring numpy and Alembic, which only a load and a migration need.
    from airq.loads import Watcher
    from airq.store.migrator import Migration

PLAIN_PROGRESS_SECONDS = 10.0
_OUTCOME_STYLES = {
    "loaded": "green", "unchanged": "cyan", "refused": "red", "failed": "red",
    "interrupted": "yellow", "running": "yellow",
}  # fmt: skip


class OutputClosed(Exception):
    """Whoever reads the results has seen enough, as in `airq loads | head -1`."""


class Unwritten(AirqError):
    """The results can't be written where they are to go."""


@contextmanager
def written(output: IO[Any]) -> Iterator[None]:
    """Tell why results can't be written; what was written must be flushed inside.

    Raises:
        OutputClosed: nobody reads them any more.
        Unwritten: there is no room for them, or the disk fails.
    """
    try:
        yield
    except BrokenPipeError:
        discard(output)
        raise OutputClosed from None
    except OSError as error:
        discard(output)
        raise Unwritten(f"the output can't be written: {error.strerror or error}") from None


def discard(stream: IO[Any]) -> None:
    """Send what a stream still holds nowhere, so that it does not fail once more when it is closed."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


class _Console(Console):
    def on_broken_pipe(self) -> None:
        """Let the fault through, where rich would end the process."""
        raise BrokenPipeError


class _Results(_Console):
    def print(self, *objects: Any, **options: Any) -> None:
        with written(sys.stdout):
            super().print(*objects, **options)


def _out() -> Console:
    # Without a terminal there is no width to fit: a table that is read by a program is not cut.
    return _Results(highlight=False, width=None if sys.stdout.isatty() else 10_000)


def _err() -> Console:
    return _Console(stderr=True, highlight=False, soft_wrap=True)


def _safe(text: str) -> str:
    """Make a text of a file or a server fit to print: its brackets and control characters command nothing."""
    return escape(visible(text, kept="\n\t"))


def show_error(message: str) -> None:
    """Print a fault."""
    _tell(f"[bold red]airq: error:[/] {_safe(message)}")


def note(message: str) -> None:
    """Print something worth knowing that is no result."""
    _tell(f"[dim]airq:[/] {_safe(message)}")


def _tell(text: str) -> None:
    """Print to standard error; that nobody hears it keeps nothing from being done, nor later ones from it."""
    try:
        _err().print(text)
    except OSError:
        # What could not be written is lost; the next may find room.
        kept = os.dup(sys.stderr.fileno())
        discard(sys.stderr)
        sys.stderr.flush()
        os.dup2(kept, sys.stderr.fileno())
        os.close(kept)


def _print_json(content: object) -> None:
    with written(sys.stdout):
        sys.stdout.write(msgspec.json.encode(content).decode() + "\n")
        sys.stdout.flush()


class _Plain:
    """A line now and then, for logs; none for short loads."""

    def __init__(self, name: str, size: int, notices_only: bool) -> None:
        self._name, self._size, self._notices_only = name, size, notices_only
        self._read, self._told = 0, time.monotonic()

    def read(self, byte_count: int) -> None:
        self._read += byte_count

    def sent(self, rows: int) -> None:
        now = time.monotonic()
        if not self._notices_only and now - self._told >= PLAIN_PROGRESS_SECONDS:
            self._told = now
            share = min(self._read / self._size, 1) if self._size else 1
            note(f"{self._name}: {rows:,} rows, {share:.0%} of the file")

    def restart(self) -> None:
        self._read = 0

    def notice(self, message: str) -> None:
        note(f"{self._name}: {message}")


class _Bar:
    """A bar on a terminal."""

    def __init__(self, bar: Progress, name: str, size: int) -> None:
        self._bar, self._name = bar, name
        self._task = bar.add_task(name, total=size or None, rows=0)

    def read(self, byte_count: int) -> None:
        self._bar.advance(self._task, byte_count)

    def sent(self, rows: int) -> None:
        self._bar.update(self._task, rows=rows)

    def restart(self) -> None:
        self._bar.reset(self._task, rows=0)

    def notice(self, message: str) -> None:
        self._bar.console.print(f"[dim]airq:[/] {_safe(self._name)}: {_safe(message)}")


@contextmanager
def progress(name: str, size: int, *, notices_only: bool) -> Iterator["Watcher"]:
    """Show a load's progress: a bar on a terminal, else a line now and then; notices are always told.

    Args:
        name: what is loaded.
        size: its size in bytes; 0 if it is not known.
        notices_only: tell nothing else.
    """
    console = _err()
    if notices_only or not console.is_terminal:
        yield _Plain(name, size, notices_only)
        return
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TextColumn("{task.fields[rows]:,} rows"),
        TimeRemainingColumn(),
        console=console,
        transient=True,
    ) as bar:
        # Of a path the last part, so that there is room for the numbers.
        yield _Bar(bar, _safe(name.rpartition("/")[2] or name), size)


@contextmanager
def counting(rows: int) -> Iterator[Callable[[int], None] | None]:
    """Show how many rows of an expected number are written, on a terminal."""
    console = _err()
    if not console.is_terminal or sys.stdout.isatty():
        yield None
        return
    with Progress(BarColumn(), TextColumn("{task.completed:,} rows"), console=console, transient=True) as bar:
        task = bar.add_task("", total=rows)
        yield lambda written: bar.update(task, completed=written)


def show_unopened(place: str, outcome: str, reason: str, *, as_json: bool) -> None:
    """Print that a file could not even be opened, where the ledger does not know of it."""
    if as_json:
        _print_unentered(place, outcome, reason)
    else:
        show_error(f"{place}: {reason}")


def show_failed(place: str, reason: str, *, as_json: bool) -> None:
    """Print, for scripts, that a file could not be loaded; people read the error itself."""
    if as_json:
        _print_unentered(place, "failed", reason)


def _print_unentered(place: str, outcome: str, reason: str) -> None:
    _print_json({"load": None, "file": place, "outcome": outcome, "reason": reason})


def show_load(
    load: Load,
    rejects: Sequence[RejectedRow],
    touched: Sequence[Touched] | None = None,
    *,
    as_json: bool,
    raw: bool = False,
) -> None:
    """Print a load's result and its first rejected rows."""
    if as_json:
        content = _load_content(load)
        content["rejects"] = [asdict(reject) for reject in rejects]
        if touched is not None:
            content["touched"] = [{**asdict(one), "month": f"{one.month:%Y-%m}"} for one in touched]
        _print_json(content)
        return
    out = _out()
    style = _OUTCOME_STYLES[load.outcome]
    what = f"undo of load {load.undoes}" if load.kind == "undo" else f"load {load.id}"
    out.print(f"[bold]{what}[/] {_safe(load.file)}: [{style}]{load.outcome}[/]{_seconds(load)}")
    if load.reason:
        out.print(f"  [red]{_safe(load.reason)}[/]", soft_wrap=True)
    counts = [
        (load.rows_read, "read"), (load.inserted, "inserted"), (load.changed, "changed"),
        (load.unchanged, "unchanged"), (load.repeated, "repeated"), (load.rejected, "rejected"),
    ]  # fmt: skip
    if load.kind == "undo":
        out.print(f"  {load.changed:,} rows removed or restored")
    else:
        shown = [f"{count:,} {word}" for count, word in counts if count or word == "read"]
        out.print("  rows: " + ", ".join(shown))
    if load.missing:
        cells = "1 cell held" if load.missing == 1 else f"{load.missing:,} cells held"
        out.print(f"  {cells} a mark for “no value”, such as -999")
    for reject in rejects:
        place = f"line {reject.line}" + (f", {reject.field} “{reject.value}”" if reject.field else "")
        out.print(f"  [yellow]{_safe(place)}[/]: {_safe(reject.reason)}", soft_wrap=True)
        if raw:
            out.print(f"    [dim]{_safe(reject.raw)}[/]", soft_wrap=True)
    left = load.rejected + load.repeated - len(rejects)
    if rejects and left > 0:
        more = f" --limit {load.rejected + load.repeated}" if raw else ""
        out.print(f"  and {left:,} more: airq loads show {load.id}{more}")
    if touched:
        table = Table(box=None, pad_edge=False)
        for name in ("month", "station"):
            table.add_column(name)
        for name in ("inserted", "changed"):
            table.add_column(name, justify="right")
        for one in touched:
            table.add_row(f"{one.month:%Y-%m}", _safe(one.station), f"{one.inserted:,}", f"{one.changed:,}")
        out.print(table)


def _seconds(load: Load) -> str:
    if load.finished is None:
        return ""
    return f" in {(load.finished - load.started) / 1000:.1f} s"


def _load_content(load: Load) -> dict[str, Any]:
    content = asdict(load)
    content = {"load": content.pop("id"), **content}
    for name in ("started", "finished"):
        if content[name] is not None:
            content[name] = format_instant(content[name])
    return content


def show_loads(loads: Sequence[Load], *, as_json: bool) -> None:
    """Print the ledger's newest entries."""
    if as_json:
        _print_json([_load_content(load) for load in loads])
        return
    if not loads:
        _out().print("nothing was loaded yet: airq load FILE")
        return
    table = Table(box=None, pad_edge=False)
    for name in ("load", "started", "outcome", "file"):
        table.add_column(name, no_wrap=name != "file")
    for name in ("read", "inserted", "changed", "unchanged", "repeated", "rejected"):
        table.add_column(name, justify="right")
    for load in loads:
        outcome = f"[{_OUTCOME_STYLES[load.outcome]}]{load.outcome}[/]"
        if load.undone_by:
            outcome += f", undone by {load.undone_by}"
        file = f"undo of {load.undoes}" if load.kind == "undo" else load.file
        counts = (
            load.rows_read, load.inserted, load.changed, load.unchanged, load.repeated, load.rejected
        )  # fmt: skip
        table.add_row(
            str(load.id),
            format_instant(load.started)[:19] + "Z",
            outcome,
            _safe(file),
            *(f"{count:,}" for count in counts),
        )
    _out().print(table)


def show_migration(migration: "Migration", *, as_json: bool) -> None:
    """Print what a migration did."""
    if as_json:
        _print_json(asdict(migration))
        return
    for notice in migration.notices:
        note(notice)
    if migration.before == migration.now:
        _out().print(f"the schema is at {migration.now}: nothing to do; roles are up to date")
    else:
        before = migration.before or "nothing"
        _out().print(f"the schema went from {before} to {migration.now}; roles are up to date")


def show_digests(digests: Sequence[Digest], *, as_json: bool) -> None:
    """Print a database's contents, a row for each month, and station if they have one."""
    if as_json:
        _print_json([asdict(digest) for digest in digests])
        return
    by_station = any(digest.station is not None for digest in digests)
    table = Table(box=None, pad_edge=False)
    table.add_column("month")
    if by_station:
        table.add_column("station")
    table.add_column("measurements", justify="right")
    table.add_column("content")
    for digest in digests:
        station = [_safe(digest.station)] if digest.station is not None else []
        table.add_row(digest.month, *station, f"{digest.measurements:,}", digest.content)
    _out().print(table)


def show_purge(purged: Purged, *, as_json: bool) -> None:
    """Print what a purge dropped."""
    if as_json:
        _print_json(asdict(purged))
        return
    _out().print(_purged(purged))
    for address, reason in purged.failures.items():
        show_error(f"the cache at {address} was not purged: {reason}")


def note_purge(purged: Purged, shared_max_age_seconds: int) -> None:
    """Print what a load's purge dropped, and what a cache that it could not reach means."""
    note(_purged(purged))
    for address, reason in purged.failures.items():
        note(
            f"the cache at {address} was not purged ({reason}); "
            f"its answers may be old for up to {shared_max_age_seconds:,} s"
        )


def _purged(purged: Purged) -> str:
    caches = "1 cache" if purged.caches == 1 else f"{purged.caches} caches"
    answers = "1 answer" if purged.answers == 1 else f"{purged.answers:,} answers"
    return f"dropped {answers} from {caches}"


def show_settings(settings: Settings, *, as_json: bool) -> None:
    """Print every setting with its value; passwords are masked."""
    rows = []
    for field in fields(settings):
        if not field.metadata:
            continue
        value = getattr(settings, field.name)
        shown = value.masked if isinstance(value, DatabaseUrl | Secret) else value
        rows.append({"name": field.metadata["name"], "value": shown, "help": field.metadata["help"]})
    if as_json:
        _print_json(rows)
        return
    table = Table(box=None, pad_edge=False)
    for name in ("variable", "value", "meaning"):
        table.add_column(name, no_wrap=name != "meaning")
    for row in rows:
        value = "" if row["value"] is None else str(row["value"])
        table.add_row(row["name"], _safe(value), _safe(row["help"]))
    _out().print(table)
