"""Loads beside each other and beside readers, and a database without room or without its locks."""

import asyncio
import hashlib
import io
import os
import pwd
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import asyncpg
import pytest

from airq import embedded, loads
from airq.ingest.sources import open_source
from airq.store import ledger, loading
from airq.store.ledger import Load, LoadFailed
from tests.conftest import FOR_GOOD, Database, execute
from tests.integration.publishing import Measurements, Publisher, Said, row, values
from tests.integration.sessions import ended, is_at, session, started, wait_until

OCTOBER = "2016-10-01 00:00:00"


def test_a_second_load_of_the_same_file_waits_says_so_and_finds_nothing_to_do(
    publisher: Publisher, many_rows_csv: Path
) -> None:
    publisher.load(row(OCTOBER, "aq_jaen", 1))
    database = publisher.database
    with session(database) as watching, session(database, "LOCK airq.coverage IN SHARE MODE") as gate:
        with (
            started(database, "load", many_rows_csv) as first,
            started(database, "load", many_rows_csv) as second,
        ):
            wait_until(lambda: is_at(watching, "WITH next", waiting=True))
            wait_until(lambda: is_at(watching, "SELECT pg_advisory_lock", waiting=True))
            gate.run("ROLLBACK")
            done = [ended(first), ended(second)]
    assert [one.status for one in done] == [0, 0]
    waited = f"airq: {many_rows_csv}: another load is running; waiting for it to end\n"
    assert sorted(one.err for one in done) == ["", waited]
    [changed] = [one for one in done if not one.err]
    [unchanged] = [one for one in done if one.err]
    assert "loaded" in changed.out
    assert "960 inserted" in changed.out
    assert "unchanged" in unchanged.out
    assert "960 unchanged" in unchanged.out
    assert len(publisher.contents()) == 961


def test_the_ledger_names_the_bytes_that_were_loaded_though_the_file_changed_while_it_waited(
    publisher: Publisher,
) -> None:
    path = publisher.write(row(OCTOBER, "a", 1))
    database = publisher.database
    with session(database) as watching, session(database) as gate:
        gate.run(f"SELECT pg_advisory_lock({ledger.LOAD_LOCK})")
        with started(database, "load", path) as waiting:
            wait_until(lambda: is_at(watching, "SELECT pg_advisory_lock", waiting=True))
            publisher.write(row(OCTOBER, "a", 2)).replace(path)
            gate.run(f"SELECT pg_advisory_unlock({ledger.LOAD_LOCK})")
            assert ended(waiting).status == 0
    assert list(publisher.contents().values()) == [values(2.0)]
    assert publisher.newest().sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


def test_loads_at_once_end_as_if_one_came_after_the_other(publisher: Publisher) -> None:
    times = [f"2016-{month}-{day:02d} 00:00:00" for month in (10, 11) for day in range(1, 31)]
    files = [
        publisher.write(*(row(time, station, number) for time in times[number * 5 :] for station in "ab"))
        for number in range(5)
    ]

    async def load_all() -> list[Load]:
        async def load(path: Path) -> Load:
            with open_source(str(path), io.BytesIO()) as source:
                return await loads.load(publisher.database.loader, source, loads.Options(), Said())

        return await asyncio.gather(*map(load, files))

    entries = asyncio.run(load_all())
    # The locks were had in the order of the versions that the loads gave.
    order = [int(str(number)) for (number,) in publisher.database.fetch(
        "SELECT id FROM airq.load ORDER BY finished")]  # fmt: skip
    expected: Measurements = {}
    for number in order:
        place = files.index(Path(publisher.ledger(number).file))
        inserted = changed = 0
        for moment in times[place * 5 :]:
            for station in "ab":
                key = (f"{moment[:10]}T00:00:00.000Z", station)
                inserted += key not in expected
                changed += key in expected
                expected[key] = values(float(place))
        entry = publisher.ledger(number)
        assert (entry.inserted, entry.changed, entry.unchanged) == (inserted, changed, 0)
    assert publisher.contents() == dict(sorted(expected.items()))
    assert sum(entry.inserted for entry in entries) == 120


class Reader:
    """Reads as the API's role does, over and over, until it is told to stop."""

    def __init__(self, url: str) -> None:
        self.seen: list[tuple[int, int]] = []
        self.fault: BaseException | None = None
        self._url, self._stop = url, threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._read()), daemon=True)

    def __enter__(self) -> "Reader":
        self._thread.start()
        wait_until(lambda: self.seen or self.fault)
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    async def _read(self) -> None:
        connection = await asyncpg.connect(
            self._url, server_settings={"lock_timeout": "1s", "statement_timeout": "1s"}
        )
        try:
            while not self._stop.is_set():
                # Prepared once and used again, as the API's queries are, while partitions come.
                async with connection.transaction(isolation="repeatable_read", readonly=True):
                    count = await connection.fetchval("SELECT count(*) FROM airq.measurement")
                    known = await connection.fetchval(
                        "SELECT measurements FROM airq.coverage WHERE station_id = 0 AND month = '-infinity'"
                    )
                    self.seen.append((count, known))
        except BaseException as error:
            self.fault = error
        finally:
            await connection.close()


def test_readers_wait_for_nothing_and_see_all_of_a_load_or_none(publisher: Publisher, tmp_path: Path) -> None:
    publisher.load(row(OCTOBER, "a", 0))
    # Months that are there, and many new ones to attach.
    rows = [row(f"2016-10-{day:02d} {minute // 60:02d}:{minute % 60:02d}:00", "a", 1)
            for day in range(1, 8) for minute in range(1440)]  # fmt: skip
    rows += [row(f"20{year}-{month:02d}-01 00:00:00", "b", 1)
             for year in range(17, 21) for month in range(1, 13)]  # fmt: skip
    with Reader(publisher.database.reader) as reader:
        publisher.load(*rows)
        publisher.undo(2)
        publisher.load(*rows)
        before = len(reader.seen)
        wait_until(lambda: len(reader.seen) > before + 1 or reader.fault)
    assert reader.fault is None
    assert set(reader.seen) == {(1, 1), (10128, 10128)}
    assert len(reader.seen) > 10
    assert len(publisher.contents()) == 10128


def test_readers_go_on_while_a_load_waits_for_its_lock(publisher: Publisher) -> None:
    publisher.load(row(OCTOBER, "a", 0))
    path = publisher.write(row("2016-11-01 00:00:00", "a", 1))
    database = publisher.database
    with (
        session(database) as watching,
        session(database, "LOCK airq.measurement IN SHARE UPDATE EXCLUSIVE MODE") as holder,
        Reader(database.reader) as reader,
        started(database, "load", path) as process,
    ):
        wait_until(lambda: is_at(watching, "SELECT airq.add_partition", waiting=True), process)
        before = len(reader.seen)
        wait_until(lambda: len(reader.seen) > before + 20 or reader.fault, process)
        assert set(reader.seen) == {(1, 1)}
        holder.run("ROLLBACK")
        assert ended(process).status == 0
        before = len(reader.seen)
        wait_until(lambda: len(reader.seen) > before + 1 or reader.fault)
    assert reader.fault is None
    assert set(reader.seen) == {(1, 1), (2, 2)}


def test_a_lock_that_is_never_given_ends_a_load_with_the_reason(
    publisher: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loading, "PARTITION_LOCK_TIMEOUT", "20ms")
    monkeypatch.setattr(loading, "PARTITION_TRIES", 3)
    rows = [row(OCTOBER, "a", 1), row("2016-11-01 00:00:00", "a", 1)]
    with (
        session(publisher.database, "LOCK airq.measurement IN SHARE UPDATE EXCLUSIVE MODE"),
        pytest.raises(LoadFailed, match=r"holds a lock on the measurements \(3 tries of 20ms\)"),
    ):
        publisher.load(*rows)
    entry = publisher.ledger(1)
    assert entry.outcome == "failed"
    assert entry.reason is not None
    assert "nothing of this load is visible" in entry.reason
    assert publisher.contents() == {}
    assert publisher.load(*rows).inserted == 2


def test_a_lock_that_is_given_late_is_waited_for(
    publisher: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loading, "PARTITION_LOCK_TIMEOUT", "50ms")
    monkeypatch.setattr(loading, "PARTITION_TRIES", 1000)
    database = publisher.database
    with (
        session(database) as watching,
        session(database, "LOCK airq.measurement IN SHARE UPDATE EXCLUSIVE MODE") as holder,
    ):

        def release() -> None:
            wait_until(lambda: is_at(watching, "SELECT airq.add_partition", waiting=True))
            # By then the try that was seen has been given up.
            time.sleep(0.1)
            holder.run("ROLLBACK")

        releasing = threading.Thread(target=release)
        releasing.start()
        try:
            entry = publisher.load(row(OCTOBER, "a", 1), row("2016-11-01 00:00:00", "a", 1))
        finally:
            releasing.join()
    assert entry.inserted == 2
    assert len(publisher.contents()) == 2


@contextmanager
def small_disk(megabytes: int) -> Iterator[Path]:
    """A file system of its own that is soon full."""
    if os.geteuid() != 0:
        pytest.skip(f"{FOR_GOOD}only root can mount a small file system")
    with tempfile.TemporaryDirectory(prefix="airq-test-") as name:
        directory = Path(name)
        directory.chmod(0o755)
        mount = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(directory)]
        if subprocess.run(mount, stderr=subprocess.DEVNULL, check=False).returncode:
            pytest.skip("file systems can't be mounted here")
        try:
            yield directory
        finally:
            subprocess.run(["umount", directory], check=True)


@pytest.mark.parametrize("known", [False, True], ids=["new month", "known month"])
def test_a_full_disk_ends_a_load_with_the_reason_and_the_next_one_loads(
    server: embedded.Server, make_database: Callable[[], Database], tmp_path: Path, known: bool
) -> None:
    database = make_database()
    publisher = Publisher(database, tmp_path)
    name = database.owner.split("/")[3].split("?")[0]
    with small_disk(48) as disk:
        place = disk / "tablespace"
        place.mkdir()
        account = pwd.getpwnam(embedded.ROOTS_ACCOUNT)
        os.chown(place, account.pw_uid, account.pw_gid)
        execute(
            server.url,
            f"CREATE TABLESPACE {name} LOCATION '{place}'",
            f"ALTER DATABASE {name} SET TABLESPACE {name}",
        )
        try:
            if known:
                publisher.load(row(OCTOBER, "a", 0))
            before = publisher.contents()
            filler = disk / "filler"
            room = os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize
            filler.write_bytes(bytes(room - 2_000_000))
            rows = [row(f"2016-10-{n // 1440 + 1:02d} {n // 60 % 24:02d}:{n % 60:02d}:00", "b", n)
                    for n in range(43_200)]  # fmt: skip
            with pytest.raises(LoadFailed, match="the database has no room for this load"):
                publisher.load(*rows)
            entry = publisher.newest()
            assert entry.outcome == "failed"
            assert entry.reason is not None
            assert entry.reason.startswith("the database has no room for this load (could not extend")
            assert entry.reason.endswith("; nothing of it is visible")
            assert publisher.contents() == before
            filler.unlink()
            assert publisher.load(*rows).inserted == 43_200
            assert len(publisher.contents()) == 43_200 + known
        finally:
            execute(server.url, f"ALTER DATABASE {name} SET TABLESPACE pg_default", f"DROP TABLESPACE {name}")
