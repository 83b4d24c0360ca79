"""The ledger of loads: every load is in it, with the truth about how it ended."""

import asyncio
import gzip
import hashlib
import io
import json
import os
import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import asyncpg
import pytest

from airq import loads
from airq.domain.errors import AirqError
from airq.domain.tolerance import Tolerance
from airq.ingest.sources import Source
from airq.store import ledger
from airq.store.connections import DatabaseUnavailable
from airq.store.ledger import LoadFailed
from tests.conftest import Airq, Database
from tests.integration.publishing import HEADER, Publisher, Said, row, values

DAY = "2016-10-01 00:00:00"


@contextmanager
def entered(database: Database, file: str) -> Iterator[int]:
    """Enter a load as a process does that has just begun it, and live until the block's end."""

    async def begin() -> tuple[asyncpg.Connection, int]:
        connection = await asyncpg.connect(database.loader)
        return connection, await ledger.begin(connection, "load", file)

    loop = asyncio.new_event_loop()
    connection, number = loop.run_until_complete(begin())
    try:
        yield number
    finally:
        loop.run_until_complete(connection.close())
        loop.close()


def test_a_load_runs_as_long_as_its_process_lives_and_is_interrupted_behind_that(
    publisher: Publisher,
) -> None:
    with entered(publisher.database, "first.csv") as number:
        assert publisher.ledger(number).outcome == "running"
    entry = publisher.ledger(number)
    assert entry.outcome == "interrupted"
    assert entry.finished is not None
    assert entry.reason == "its process ended before it was through; nothing of it is visible"


def test_the_next_load_enters_a_dead_one_as_interrupted_and_leaves_live_ones_alone(
    publisher: Publisher, make_database: Callable[[], Database]
) -> None:
    with entered(publisher.database, "dead.csv") as dead:
        pass
    # A load of the same number in another database of the server is no sign of life for this one.
    with entered(make_database(), "elsewhere.csv") as elsewhere, \
            entered(publisher.database, "live.csv") as live:  # fmt: skip
        assert elsewhere == dead
        publisher.load(row(DAY, "a", 1))
        outcomes = publisher.database.fetch("SELECT file, outcome FROM airq.load WHERE id < 3 ORDER BY id")
        assert outcomes == [("dead.csv", "interrupted"), ("live.csv", "running")]
        assert publisher.ledger(live).outcome == "running"


def test_loads_are_listed_newest_first(publisher: Publisher, airq: Airq) -> None:
    for value in (1, 1, 2):
        publisher.load(row(DAY, "a", value))
    publisher.refuse()
    shown = asyncio.run(loads.read_loads(publisher.database.loader, 3))
    assert [(entry.id, entry.outcome) for entry in shown] == [
        (4, "refused"), (3, "loaded"), (2, "unchanged")
    ]  # fmt: skip
    listed = json.loads(airq("loads", "--json", database=publisher.database).out)
    assert [(entry["load"], entry["outcome"]) for entry in listed] == [
        (4, "refused"), (3, "loaded"), (2, "unchanged"), (1, "loaded")
    ]  # fmt: skip
    assert all(entry["started"] <= entry["finished"] for entry in listed)


def test_a_load_is_shown_with_what_it_touched(publisher: Publisher) -> None:
    publisher.load(row(DAY, "b", 1), row(DAY, "a", 1))
    entry = publisher.load(row(DAY, "b", 2), row("2016-11-01 00:00:00", "a", 1), row(DAY, "a", 1))
    _, _, touched = asyncio.run(loads.read_load(publisher.database.loader, entry.id, 1))
    assert [(f"{one.month:%Y-%m}", one.station, one.inserted, one.changed) for one in touched] == [
        ("2016-10", "b", 0, 1), ("2016-11", "a", 1, 0)
    ]  # fmt: skip


def test_an_unknown_number_is_told_with_the_newest_one(publisher: Publisher) -> None:
    for known in ("nothing was loaded yet", "the newest is 1"):
        with pytest.raises(ledger.UnknownLoad, match=f"there is no load 9; {known}"):
            publisher.ledger(9)
        with pytest.raises(ledger.UnknownLoad, match="there is no load 9"):
            publisher.undo(9)
        publisher.load(row(DAY, "a", 1))


class Fragile(Source):
    """A file whose reading can be made to fail, and that tells whether it was closed meanwhile."""

    def __init__(self, content: bytes, path: Path, fail_at: int | None = None) -> None:
        path.write_bytes(content)
        super().__init__(path.name, path, len(content))
        self.content, self.fail_at = content, fail_at
        self.closed_while_reading = False

    @contextmanager
    def open(self, on_bytes: Callable[[memoryview], None] = lambda part: None) -> Iterator[BinaryIO]:
        stream = _Stream(self)
        try:
            yield stream
        finally:
            self.closed_while_reading |= stream.reading.locked()


class Changing(Source):
    """A file that has other contents, or is gone, each time it is opened."""

    def __init__(self, path: Path, *contents: bytes | None) -> None:
        super().__init__(path.name, path, 0)
        self._contents = iter(contents)

    @contextmanager
    def open(self, on_bytes: Callable[[memoryview], None] = lambda part: None) -> Iterator[BinaryIO]:
        self.path.unlink(missing_ok=True)
        if (content := next(self._contents)) is not None:
            self.path.write_bytes(content)
        with super().open(on_bytes) as stream:
            yield stream


class _Stream(io.BytesIO):
    def __init__(self, source: Fragile) -> None:
        super().__init__(source.content)
        self.source, self.reading = source, threading.Lock()

    def read(self, size: int | None = -1) -> bytes:
        with self.reading:
            if self.source.fail_at is not None and self.tell() >= self.source.fail_at:
                raise OSError(5, "Input/output error")
            time.sleep(0.02)
            return super().read(size)


def load(database: Database, source: Source) -> ledger.Load:
    async def run() -> ledger.Load:
        try:
            return await loads.load(database.loader, source, loads.Options(), Said())
        finally:
            assert asyncio.all_tasks() == {asyncio.current_task()}

    return asyncio.run(run())


def wide_rows(count: int) -> bytes:
    """Make rows of 4,000 characters, so that a thousand fill a part of what is read at once."""
    rows = (f"2016-{n // 600 + 1:02d}-{n // 24 % 25 + 1:02d} {n % 24:02d}:00:00,a,{n},{'x' * 4000}"
            for n in range(count))  # fmt: skip
    return "\n".join(("time,station,so2,padding", *rows, "")).encode()


def test_a_file_that_stops_being_readable_is_the_fault_of_the_file(
    publisher: Publisher, tmp_path: Path
) -> None:
    source = Fragile(wide_rows(3000), tmp_path / "fragile.csv", fail_at=5_000_000)
    with pytest.raises(loads.Refused, match="reading it failed: Input/output error"):
        load(publisher.database, source)
    entry = publisher.ledger(1)
    assert (entry.outcome, entry.reason) == ("refused", "reading it failed: Input/output error")
    assert entry.rows_read > 0
    assert publisher.contents() == {}


REPEATING = "\n".join((HEADER, row(DAY, "a", 1), row(DAY, "b", 1), *[row(DAY, "c", 1)] * 3, "")).encode()
SHORTER = b"".join(REPEATING.splitlines(keepends=True)[:4])


@pytest.mark.parametrize(
    ("contents", "reason"),
    [
        # A file that repeats rows is opened a second time to stage them, a third time for their text.
        ((REPEATING, REPEATING, SHORTER), "it changed while it was read; load it again"),
        ((REPEATING, REPEATING, b""), "it changed while it was read; load it again"),
        ((REPEATING, REPEATING, None), "it can't be read: No such file or directory"),
        ((REPEATING, None), "it can't be read: No such file or directory"),
    ],
    ids=["shorter", "empty", "gone", "gone early"],
)
def test_a_file_that_changes_while_it_is_loaded_is_refused(
    publisher: Publisher, tmp_path: Path, contents: tuple[bytes | None, ...], reason: str
) -> None:
    with pytest.raises(loads.Refused) as refusal:
        load(publisher.database, Changing(tmp_path / "changing.csv", *contents))
    assert str(refusal.value) == reason
    entry = publisher.ledger(1)
    assert (entry.outcome, entry.reason, entry.inserted) == ("refused", reason, 0)
    assert publisher.contents() == {}
    assert load(publisher.database, Changing(tmp_path / "steady.csv", *[REPEATING] * 3)).inserted == 3


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def test_the_sha_256_is_that_of_the_reading_whose_rows_were_loaded(
    publisher: Publisher, tmp_path: Path
) -> None:
    changed = REPEATING.replace(b",1", b",2")
    entry = load(publisher.database, Changing(tmp_path / "changing.csv", REPEATING, changed, changed))
    assert (entry.outcome, entry.sha256) == ("loaded", sha256(changed))
    assert set(publisher.contents().values()) == {values(2.0)}


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
@pytest.mark.parametrize(
    "begin", [f"{HEADER}\n{row(DAY, 'a', 'x')}\n", "nothing,of,use\n"], ids=["rejected", "no header"]
)
def test_a_refused_file_is_named_by_all_of_its_bytes(
    publisher: Publisher, tmp_path: Path, pack: Callable[[bytes], bytes], begin: str
) -> None:
    content = pack(begin.encode() + random.Random(1).randbytes(3_000_000).hex().encode())
    path = tmp_path / "refused.csv"
    path.write_bytes(content)
    assert publisher.refuse(path=path).sha256 == sha256(content)


def test_a_damaged_file_is_named_by_all_of_its_bytes(publisher: Publisher, tmp_path: Path) -> None:
    content = bytearray(gzip.compress(REPEATING + random.Random(1).randbytes(3_000_000)))
    content[1_500_000:1_500_100] = bytes(100)
    path = tmp_path / "damaged.csv.gz"
    path.write_bytes(content)
    assert publisher.refuse(path=path, tolerance=Tolerance(share=1)).sha256 == sha256(bytes(content))


def test_a_file_whose_end_was_not_read_has_no_sha_256(publisher: Publisher, tmp_path: Path) -> None:
    gone = Changing(tmp_path / "gone.csv", REPEATING, None)
    with pytest.raises(loads.Refused) as refusal:
        load(publisher.database, gone)
    assert refusal.value.load.sha256 is None


def test_a_file_whose_rows_are_all_rejected_changes_nothing_where_so_many_are_allowed(
    publisher: Publisher,
) -> None:
    entry = publisher.load(row(DAY, "a", "?"), row(DAY, "b", "?"), tolerance=Tolerance(rows=2))
    assert (entry.outcome, entry.rows_read, entry.rejected) == ("unchanged", 2, 2)
    assert [reject.line for reject in publisher.rejects(entry.id)] == [2, 3]
    assert publisher.contents() == {}


def test_a_row_that_something_else_enters_twice_ends_the_load(publisher: Publisher, tmp_path: Path) -> None:
    publisher.database.execute(
        "CREATE FUNCTION airq.fail() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE EXCEPTION 'twice' USING ERRCODE = 'unique_violation'; END $$",
        "CREATE TRIGGER fails BEFORE INSERT ON airq.station EXECUTE FUNCTION airq.fail()",
    )
    reason = "the database refused this load: twice; nothing of it is visible"
    with pytest.raises(LoadFailed) as caught:
        publisher.load(row(DAY, "a", 1))
    assert str(caught.value) == reason
    entry = publisher.ledger(1)
    assert (entry.outcome, entry.reason) == ("failed", reason)
    assert publisher.contents() == {}


def test_a_file_whose_name_is_no_utf_8_is_loaded_and_printed(
    publisher: Publisher, airq: Airq, tmp_path: Path
) -> None:
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/Ja\xe9n.csv"))
    missing = Path(os.fsdecode(os.fsencode(tmp_path) + b"/Le\xf3n.csv"))
    path.write_text(f"{HEADER}\n{row(DAY, 'a', 1)}\n")
    names = [f"{tmp_path}/Ja�n.csv", f"{tmp_path}/Le�n.csv"]
    done = airq("load", path, missing, database=publisher.database)
    assert done.status == 4
    assert done.out.startswith(f"load 1 {names[0]}: loaded")
    assert f"load 2 {names[1]}: refused" in done.out
    done = airq("load", "--json", path, missing, database=publisher.database)
    assert done.status == 4
    assert [json.loads(line)["file"] for line in done.out.splitlines()] == names
    assert publisher.newest().file == names[1]


def test_a_load_that_fails_on_its_way_leaves_no_reading_behind(publisher: Publisher, tmp_path: Path) -> None:
    source = Fragile(wide_rows(6000), tmp_path / "whole.csv")
    # The database refuses the second month, while the file is read ahead.
    publisher.database.execute(
        "CREATE TABLE airq.measurement_2016_02 ()", "GRANT ALL ON airq.measurement_2016_02 TO airq_loader"
    )
    with pytest.raises(AirqError, match="measurement_2016_02"):
        load(publisher.database, source)
    publisher.database.execute("DROP TABLE airq.measurement_2016_02")
    assert not source.closed_while_reading
    assert publisher.ledger(1).outcome == "failed"
    assert publisher.contents() == {}
    assert load(publisher.database, source).inserted == 6000


@pytest.mark.parametrize(
    "fault", [ConnectionResetError("gone"), asyncio.CancelledError()], ids=["lost connection", "Ctrl-C"]
)
def test_a_commit_whose_answer_was_lost_is_entered_as_what_it_is(
    publisher: Publisher, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: BaseException
) -> None:
    path = publisher.write(row(DAY, "a", 1))
    commit = asyncpg.transaction.Transaction.commit

    async def commit_and_lose(transaction: Any) -> None:
        nested = transaction._nested
        await commit(transaction)
        written = await transaction._connection.fetchval("SELECT count(*) FROM airq.measurement")
        if written and not nested:
            raise fault

    monkeypatch.setattr(asyncpg.transaction.Transaction, "commit", commit_and_lose)
    if isinstance(fault, asyncio.CancelledError):
        with pytest.raises(asyncio.CancelledError):
            publisher.load(path=path)
    else:
        assert publisher.load(path=path).outcome == "loaded"
    monkeypatch.undo()
    assert publisher.ledger(1).outcome == "loaded"
    assert len(publisher.contents()) == 1


def test_a_database_that_was_never_migrated_is_told_with_the_remedy(
    server: Any, airq: Airq, tmp_path: Path
) -> None:
    async def make(statement: str) -> None:
        connection = await asyncpg.connect(server.url)
        await connection.execute(statement)
        await connection.close()

    asyncio.run(make("CREATE DATABASE never_migrated"))
    url = server.url.replace("/airq?", "/never_migrated?")
    path = tmp_path / "a.csv"
    path.write_text(f"{HEADER}\n{row(DAY, 'a', 1)}\n")
    for arguments in (("load", path), ("loads",), ("loads", "show", "1"), ("verify",)):
        done = airq(*arguments, environment={"AIRQ_DATABASE_URL": url})
        assert done.status == 1, arguments
        assert "Traceback" not in done.err
        assert "has no airq schema" in done.err
        assert "run `airq migrate`" in done.err


def test_a_role_that_may_not_load_is_told_so(publisher: Publisher, airq: Airq) -> None:
    path = publisher.write(row(DAY, "a", 1))
    done = airq("load", path, database=publisher.database,
                environment={"AIRQ_LOADER_URL": publisher.database.reader})  # fmt: skip
    assert done.status == 1
    assert "Traceback" not in done.err
    assert "airq_reader" in done.err
    assert "permission denied" in done.err


def test_a_database_that_does_not_answer_is_named_without_its_password(
    airq: Airq, free_port: Callable[[], int], tmp_path: Path
) -> None:
    url = f"postgresql://publisher:secret@127.0.0.1:{free_port()}/air"
    done = airq("loads", environment={"AIRQ_DATABASE_URL": url})
    assert done.status == 1
    assert "can't be reached: Connection refused" in done.err
    assert "127.0.0.1" in done.err
    assert "secret" not in done.err


def test_a_database_that_is_not_there_is_told_by_its_name(publisher: Publisher) -> None:
    nowhere = publisher.database.loader.replace("/test_", "/no_such_database_")
    with pytest.raises(DatabaseUnavailable, match="no_such_database"):
        asyncio.run(loads.read_loads(nowhere, 1))
