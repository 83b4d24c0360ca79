"""`airq load` and `airq loads` as a publisher types them, and all that they say."""

import gzip
import http.server
import json
import os
import pty
import re
import select
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import pytest

from tests.conftest import Airq, Database, Finished, airq_environment
from tests.integration.publishing import HEADER, Publisher, row
from tests.ports import free_port

OCTOBER = "2016-10-01 00:00:00"


@dataclass
class Command:
    """Runs airq on one database."""

    airq: Airq
    database: Database

    def __call__(self, *arguments: str | Path, stdin: bytes = b"", **environment: str) -> Finished:
        done = self.airq(*arguments, database=self.database, stdin=stdin, environment=environment)
        assert "Traceback" not in done.err
        return done


@pytest.fixture
def command(airq: Airq, database: Database) -> Command:
    return Command(airq, database)


def shown(text: str) -> list[str]:
    """Return the lines that were printed, whatever time things took."""
    return [re.sub(r" in \d+\.\d s$", " in N s", line) for line in text.splitlines()]


def test_a_file_loads_and_loads_again(command: Command, many_rows_csv: Path) -> None:
    first = command("load", many_rows_csv)
    assert (first.status, first.err) == (0, "")
    assert shown(first.out) == [f"load 1 {many_rows_csv}: loaded in N s", "  rows: 960 read, 960 inserted"]
    second = command("load", many_rows_csv)
    assert (second.status, second.err) == (0, "")
    assert shown(second.out) == [
        f"load 2 {many_rows_csv}: unchanged in N s",
        "  rows: 960 read, 960 unchanged",
    ]
    listed = command("loads").out.splitlines()
    assert listed[0].split() == [
        "load", "started", "outcome", "file", "read", "inserted", "changed", "unchanged", "repeated", "rejected"  # noqa: E501
    ]  # fmt: skip
    assert listed[1].split()[2:] == ["unchanged", str(many_rows_csv), "960", "0", "0", "960", "0", "0"]
    assert listed[2].split()[2:] == ["loaded", str(many_rows_csv), "960", "960", "0", "0", "0", "0"]


def test_an_empty_ledger_says_how_to_begin(command: Command) -> None:
    assert command("loads").out == "nothing was loaded yet: airq load FILE\n"
    assert command("loads", "--json").out == "[]\n"


def test_a_partial_load_lists_its_rejects(command: Command, publisher: Publisher) -> None:
    rows = [
        row(f"2016-10-01 {n // 60:02d}:{n % 60:02d}:00", "a", "much" if n < 12 else 1) for n in range(300)
    ]
    path = publisher.write(*rows, row("2016-10-01 04:59:00", "a", -999))
    done = command("load", path)
    assert done.status == 3
    assert shown(done.out)[:4] == [
        f"load 1 {path}: loaded in N s",
        "  rows: 301 read, 288 inserted, 1 repeated, 12 rejected",
        "  1 cell held a mark for “no value”, such as -999",
        "  line 2, so2 “much”: not a number; leave a missing value empty, or name its mark with --missing",
    ]
    assert shown(done.out)[-1] == "  and 3 more: airq loads show 1"
    detailed = shown(command("loads", "show", "1").out)
    reason = "repeated: line 302 has the same station and time, and the last one counts"
    assert f"  line 301: {reason}" in detailed
    assert f"    {rows[299]}" in detailed
    assert [line.split() for line in detailed[-2:]] == [
        ["month", "station", "inserted", "changed"], ["2016-10", "a", "288", "0"]
    ]  # fmt: skip
    assert shown(command("loads", "show", "1", "--limit", "2").out)[7] == (
        "  and 11 more: airq loads show 1 --limit 13"
    )


def test_a_refused_load_says_why_and_what_was_allowed(command: Command, publisher: Publisher) -> None:
    path = publisher.write(row(OCTOBER, "a", "x"), row(OCTOBER, "b", 1))
    done = command("load", path)
    assert done.status == 4
    assert shown(done.out)[:3] == [
        f"load 1 {path}: refused in N s",
        "  1 of 2 rows were rejected; allowed are 5 % (--max-rejects)",
        "  rows: 2 read, 1 rejected",
    ]
    assert command("verify").out.split() == ["month", "measurements", "content"]
    assert command("load", "--max-rejects", "1", path).status == 3
    assert command("load", "--max-rejects", "0", path).status == 4
    assert command("load", "--max-rejects", "50%", path).status == 3


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ((), "Missing argument 'FILE|URL|-…'"),
        (("--timezone", "Madrid", "-"), "“Madrid” must be a zone of the IANA database"),
        (("--max-rejects", "many", "-"), "“many” must be a share from 0% to 100%, or a whole number of rows"),
        (("--missing", "", "-"), "must be a number or a text"),
        (("--nonsense", "-"), "No such option"),
    ],
)
def test_wrong_usage_is_told_and_nothing_is_entered(
    command: Command, arguments: tuple[str, ...], told: str
) -> None:
    done = command("load", *arguments)
    assert done.status == 2
    assert told in done.err
    assert command("loads", "--json").out == "[]\n"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("loads", "show", "2147483648"), "2147483648 is not in the range 1<=x<=2147483647"),
        (("loads", "undo", f"{10**20}"), f"{10**20} is not in the range 1<=x<=2147483647"),
        (("loads", "--limit", f"{10**20}"), f"{10**20} is not in the range 1<=x<=2147483647"),
        (("loads", "show", "1", "--limit", f"{10**20}"), f"{10**20} is not in the range 1<=x<=2147483647"),
        (("simulate", "--seed", f"{10**20}"), f"seed is {10**20}; allowed is 0 to {2**64 - 1}"),
        (("simulate", "--stations", "200000"), "stations is 200000; allowed is 1 to 100,000"),
        (
            ("simulate", "--start", "2099-12-31"),
            "days is 30.0; allowed is more than 0, and at most 1 from this",
        ),
        (("simulate", "--days", "1e12"), "days is 1000000000000.0; allowed is more than 0, and at most"),
        (("simulate", "--gaps", "nan"), "gaps is nan; allowed is a share, 0 to 1"),
        (("simulate", "--days", "1e300"), "days is 1e+300; allowed is more than 0, and at most"),
    ],
)
def test_a_number_that_is_too_large_is_wrong_usage(
    command: Command, arguments: tuple[str, ...], told: str
) -> None:
    done = command(*arguments)
    assert (done.status, done.out) == (2, "")
    assert told in done.err


def test_the_largest_number_is_no_load(command: Command) -> None:
    done = command("loads", "show", "2147483647", "--limit", "2147483647")
    assert (done.status, done.err) == (
        1, "airq: error: there is no load 2147483647; nothing was loaded yet\n"
    )  # fmt: skip
    assert command("loads", "--limit", "2147483647", "--json").out == "[]\n"


def test_wrong_settings_are_wrong_usage(command: Command) -> None:
    done = command("load", "-", AIRQ_PORT="http")
    assert done.status == 2
    assert done.err == "airq: error: AIRQ_PORT is “http”; it must be a whole number from 1 to 65,535\n"


@pytest.mark.parametrize(
    ("arguments", "there", "missing"),
    [
        (("load", "-"), "AIRQ_READER_URL", "AIRQ_LOADER_URL"),
        (("loads",), "AIRQ_READER_URL", "AIRQ_LOADER_URL"),
        (("loads", "show", "1"), "AIRQ_READER_URL", "AIRQ_LOADER_URL"),
        (("loads", "undo", "1"), "AIRQ_READER_URL", "AIRQ_LOADER_URL"),
        (("serve", "--sample"), "AIRQ_READER_URL", "AIRQ_LOADER_URL"),
        (("serve",), "AIRQ_LOADER_URL", "AIRQ_READER_URL"),
        (("verify",), "AIRQ_LOADER_URL", "AIRQ_READER_URL"),
    ],
)
def test_a_command_whose_url_is_missing_takes_no_other_database(
    airq: Airq, place: Path, arguments: tuple[str, ...], there: str, missing: str
) -> None:
    nowhere = f"postgresql://somebody@127.0.0.1:{free_port()}/air"
    ports = {"AIRQ_PORT": str(free_port()), "AIRQ_METRICS_PORT": str(free_port())}
    data = {"AIRQ_DATA_DIRECTORY": str(place / "data")}
    done = airq(*arguments, environment={there: nowhere, **ports, **data})
    assert (done.status, done.out) == (2, "")
    assert done.err.startswith(f"airq: error: {missing} is not set and {there} is: ")
    assert not (place / "data").exists()


def test_a_directory_of_its_own_beside_a_url_is_wrong_usage(command: Command, tmp_path: Path) -> None:
    done = command("load", "--data-directory", tmp_path, "-")
    assert done.status == 2
    assert "--data-directory is for a PostgreSQL of airq's own, but a database URL is set" in done.err


def test_json_is_one_line_for_each_file(command: Command, publisher: Publisher) -> None:
    good, bad = publisher.write(row(OCTOBER, "a", 1), row(OCTOBER, "a", 1)), publisher.write(header="a,b")
    done = command("load", "--json", good, bad, "/no/such.csv", good)
    assert done.status == 4
    entries = [json.loads(line) for line in done.out.splitlines()]
    assert [(entry["load"], entry["outcome"], entry["file"]) for entry in entries] == [
        (1, "loaded", str(good)), (2, "refused", str(bad)), (3, "refused", "/no/such.csv"),
        (4, "unchanged", str(good)),
    ]  # fmt: skip
    assert set(entries[0]) >= {
        "sha256", "rows_read", "inserted", "changed", "unchanged", "repeated", "rejected", "missing",
        "started", "finished", "reason", "rejects",
    }  # fmt: skip
    assert (entries[0]["inserted"], entries[0]["repeated"], entries[0]["rejects"][0]["line"]) == (1, 1, 2)
    assert "No such file" in entries[2]["reason"]
    shown_again = json.loads(command("loads", "show", "1", "--json").out)
    assert shown_again["touched"] == [{"station": "a", "month": "2016-10", "inserted": 1, "changed": 0}]


def test_json_has_a_line_for_a_file_that_the_database_failed_on(
    command: Command, publisher: Publisher
) -> None:
    path = publisher.write(row(OCTOBER, "a", 1))
    nowhere = f"postgresql://loader@127.0.0.1:{free_port()}/air"
    done = command("load", "--json", path, AIRQ_LOADER_URL=nowhere)
    assert done.status == 1
    entry = json.loads(done.out)
    assert (entry["load"], entry["file"], entry["outcome"]) == (None, str(path), "failed")
    assert "can't be reached: Connection refused" in entry["reason"]


def test_one_bad_file_keeps_no_other_from_loading(command: Command, publisher: Publisher) -> None:
    first, last = publisher.write(row(OCTOBER, "a", 1)), publisher.write(row(OCTOBER, "b", 1))
    done = command("load", first, "/no/such.csv", publisher.directory, last)
    assert (done.status, done.err) == (4, "")
    assert shown(done.out) == [
        f"load 1 {first}: loaded in N s", "  rows: 1 read, 1 inserted",
        "load 2 /no/such.csv: refused in N s", "  No such file or directory", "  rows: 0 read",
        f"load 3 {publisher.directory}: refused in N s", "  Is a directory", "  rows: 0 read",
        f"load 4 {last}: loaded in N s", "  rows: 1 read, 1 inserted",
    ]  # fmt: skip
    assert len(publisher.contents()) == 2


def test_a_name_that_is_empty_is_wrong_usage(command: Command) -> None:
    for arguments in (("load", ""), ("serve", "--load", "")):
        done = command(*arguments)
        assert (done.status, done.out) == (2, "")
        assert "“” must be a path, a URL or -; is a variable of the shell not set?" in done.err


def test_what_can_not_be_opened_is_told_though_the_ledger_can_not_be_reached(command: Command) -> None:
    nowhere = f"postgresql://loader@127.0.0.1:{free_port()}/air"
    done = command("load", "/no/such.csv", AIRQ_LOADER_URL=nowhere)
    assert (done.status, done.out) == (4, "")
    first, second = done.err.splitlines()
    assert first == "airq: error: /no/such.csv: No such file or directory"
    assert second.startswith("airq: the ledger does not know of /no/such.csv: ")
    scripted = command("load", "--json", "/no/such.csv", AIRQ_LOADER_URL=nowhere)
    assert json.loads(scripted.out) == {
        "load": None, "file": "/no/such.csv", "outcome": "refused", "reason": "No such file or directory"
    }  # fmt: skip


READ_ONLY = """
    DO $$ BEGIN
        EXECUTE format('ALTER DATABASE %I SET default_transaction_read_only = on', current_database());
    END $$
"""


def test_a_database_that_takes_no_writes_is_told_and_hides_nothing(
    command: Command, publisher: Publisher
) -> None:
    publisher.database.execute(READ_ONLY)
    missing = command("load", "/no/such.csv")
    assert missing.status == 4
    assert missing.err.startswith("airq: error: /no/such.csv: No such file or directory\nairq: the ledger ")
    there = command("load", publisher.write(row(OCTOBER, "a", 1)))
    assert there.status == 1
    assert re.match(
        "airq: error: the database refused this load: .* read-only transaction; nothing of it is visible\n",
        there.err,
    )


def test_a_load_that_can_not_be_read_back_is_told_as_loaded(command: Command, publisher: Publisher) -> None:
    publisher.database.execute("REVOKE SELECT ON airq.rejected_row FROM airq_loader")
    done = command("load", publisher.write(row(OCTOBER, "a", 1)))
    assert done.status == 1
    assert ": loaded in " in done.out
    assert "load 1 is committed, and what it touched can't be read: " in done.err
    assert len(publisher.contents()) == 1


def test_standard_input_plain_or_gzip_loads(command: Command, publisher: Publisher) -> None:
    text = f"{HEADER}\n{row(OCTOBER, 'a', 1)}\n".encode()
    done = command("load", "-", stdin=text)
    assert (done.status, shown(done.out)) == (
        0, ["load 1 -: loaded in N s", "  rows: 1 read, 1 inserted"]
    )  # fmt: skip
    assert "unchanged" in command("load", "-", stdin=gzip.compress(text)).out
    assert command("load", "-", stdin=b"").status == 4
    packed = publisher.directory / "a.csv.gz"
    packed.write_bytes(gzip.compress(text))
    assert "unchanged" in command("load", packed).out
    assert len(publisher.contents()) == 1


def test_options_say_how_a_file_is_read(command: Command, publisher: Publisher) -> None:
    path = publisher.write(row("2016-07-01 02:00:00", "a", -7, "n/a"))
    done = command("load", "--timezone", "Europe/Madrid", "--missing", "-7", "--missing", "n/a", path)
    assert done.status == 0
    assert publisher.contents() == {("2016-07-01T00:00:00.000Z", "a"): (None,) * 6}


class _Files(http.server.BaseHTTPRequestHandler):
    content: ClassVar[bytes] = f"{HEADER}\n{row(OCTOBER, 'a', 1)}\n".encode()

    def do_GET(self) -> None:
        if not self.path.startswith("/air"):
            self.send_error(404)
            return
        cut = "cut" in self.path
        self.send_response(200)
        self.send_header("Content-Length", str(len(self.content) + (100 if cut else 0)))
        self.end_headers()
        self.wfile.write(self.content)

    def log_message(self, *args: object) -> None:
        pass


@contextmanager
def serving(handler: type[http.server.BaseHTTPRequestHandler]) -> Iterator[int]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


def test_a_url_loads_and_goes_by_its_name_without_secrets(command: Command) -> None:
    with serving(_Files) as port:
        done = command("load", f"http://user:secret@127.0.0.1:{port}/air.csv?token=secret")
    assert done.status == 0
    assert shown(done.out)[0] == f"load 1 http://127.0.0.1:{port}/air.csv?…: loaded in N s"
    assert "secret" not in command("loads", "--json").out


def test_what_can_not_be_fetched_is_told_and_whether_another_try_may_help(command: Command) -> None:
    with serving(_Files) as port:
        place = f"http://127.0.0.1:{port}"
        missing, cut = command("load", f"{place}/water.csv"), command("load", f"{place}/air.csv?cut")
    assert (missing.status, shown(missing.out)) == (
        4,
        [
            f"load 1 {place}/water.csv: refused in N s",
            "  the server answered 404 Not Found",
            "  rows: 0 read",
        ],
    )
    size = len(_Files.content)
    assert cut.status == 1
    assert f"load 2 {place}/air.csv?…: failed in " in cut.out
    assert f"{size} of {size + 100} bytes arrived" in cut.out
    nobody = f"http://127.0.0.1:{free_port()}/air.csv"
    refused = command("load", nobody)
    assert refused.status == 1
    assert "Connection refused" in refused.out
    both = command("load", "--json", nobody, "/nothing.csv")
    assert (both.status, [json.loads(line)["outcome"] for line in both.out.splitlines()]) == (
        1, ["failed", "refused"]
    )  # fmt: skip
    entered = json.loads(command("loads", "--json").out)
    assert [(load["file"], load["outcome"]) for load in reversed(entered)] == [
        (f"{place}/water.csv", "refused"), (f"{place}/air.csv?…", "failed"), (nobody, "failed"),
        (nobody, "failed"), ("/nothing.csv", "refused"),
    ]  # fmt: skip
    assert entered[0]["reason"] == "No such file or directory"
    assert entered[0]["finished"] is not None


def test_an_undo_says_what_it_took_back(command: Command, publisher: Publisher) -> None:
    path = publisher.write(row(OCTOBER, "a", 1), row(OCTOBER, "b", 1))
    command("load", path)
    done = command("loads", "undo", "1")
    assert (done.status, shown(done.out)) == (
        0, [f"undo of load 1 {path}: loaded in N s", "  2 rows removed or restored"]
    )  # fmt: skip
    assert publisher.contents() == {}
    again = command("loads", "undo", "1")
    assert (again.status, again.out, again.err) == (
        1, "", "airq: error: load 1 was undone before, by 2\n"
    )  # fmt: skip
    listed = command("loads").out
    assert "loaded, undone by 2" in listed
    assert "undo of 1" in listed
    unknown = command("loads", "undo", "77")
    assert (unknown.status, unknown.err) == (1, "airq: error: there is no load 77; the newest is 3\n")


@contextmanager
def caching() -> Iterator[tuple[list[str], dict[str, str]]]:
    """Give the tags that a cache is told to drop, and the settings that name it."""
    dropped: list[str] = []

    class Cache(http.server.BaseHTTPRequestHandler):
        def do_PURGE(self) -> None:
            dropped.extend(self.headers["Purge-Tags"].split())
            body = b'{"purged": 1}'
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: object) -> None:
            pass

    with serving(Cache) as port:
        yield (
            dropped,
            {
                "AIRQ_PURGE_URL": f"http://127.0.0.1:{port}/",
                "AIRQ_PURGE_TOKEN": "token",
                "AIRQ_PURGE_AGAIN_SECONDS": "0",
            },
        )


def test_what_was_loaded_before_a_fault_is_dropped_from_the_caches(
    command: Command, publisher: Publisher
) -> None:
    # A table in the place of a partition lets the second load fail.
    publisher.database.execute("CREATE TABLE airq.measurement_2016_11 ()")
    good = publisher.write(row(OCTOBER, "a", 1))
    failing = publisher.write(row("2016-11-01 00:00:00", "a", 1))
    with caching() as (dropped, settings):
        done = command.airq("load", good, failing, database=command.database, environment=settings)
    assert done.status == 1
    assert "measurement_2016_11" in done.err
    assert "s:a/2016-10" in dropped


def test_a_files_control_characters_reach_no_terminal(command: Command, publisher: Publisher) -> None:
    path = publisher.write(row(OCTOBER, "a", "\x1b[2J\x07[red]no[/]"), row(OCTOBER, "b", 1))
    done = command("load", "--max-rejects", "1", path)
    assert done.status == 3
    assert r"“\x1b[2J\x07[red]no[/]”" in done.out
    assert "\x1b" not in done.out + command("loads", "show", "1").out


def on_a_terminal(database: Database, *arguments: str | Path) -> str:
    """Run airq on a terminal; return all that it wrote there."""
    leader, follower = pty.openpty()
    environment = airq_environment(database) | {"TERM": "xterm", "COLUMNS": "100", "LINES": "40"}
    process = subprocess.Popen(
        [sys.executable, "-m", "airq", *map(str, arguments)],
        stdin=follower, stdout=follower, stderr=follower, env=environment,
    )  # fmt: skip
    os.close(follower)
    written = b""
    deadline = time.monotonic() + 60
    try:
        while time.monotonic() < deadline:
            if select.select([leader], [], [], 0.1)[0]:
                try:
                    part = os.read(leader, 65536)
                except OSError:  # Linux's word for a terminal without processes.
                    break
                if not part:
                    break
                written += part
        assert process.wait(10) == 0
    finally:
        process.kill()
        process.wait()
        os.close(leader)
    return written.decode()


def test_a_terminal_gets_a_bar_and_colors(database: Database, tmp_path: Path) -> None:
    path = tmp_path / "sample.csv"
    subprocess.run(
        [sys.executable, "-m", "airq", "simulate", "--days", "60", "-o", path],
        check=True, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    written = on_a_terminal(database, "load", path)
    assert re.search(r"━.*57,600 rows", written)
    assert "\x1b[32mloaded\x1b[0m" in written
    assert "57,600 inserted" in written


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory that the account which runs PostgreSQL for root may enter."""
    with tempfile.TemporaryDirectory(prefix="airq-test-") as name:
        directory = Path(name)
        directory.chmod(0o755)
        yield directory


def test_without_a_url_a_directory_is_all_that_a_publisher_needs(
    airq: Airq, server: object, place: Path, many_rows_csv: Path
) -> None:
    directory = ("--data-directory", place / "data")
    first = airq("load", *directory, many_rows_csv)
    assert first.status == 0, first.err
    assert "960 inserted" in first.out
    assert f"airq: data directory: {place / 'data'}" in first.err.splitlines()
    named = {"AIRQ_DATA_DIRECTORY": str(place / "data")}
    assert "960 unchanged" in airq("load", many_rows_csv, environment=named).out
    assert [entry["outcome"] for entry in json.loads(airq("loads", *directory, "--json").out)] == [
        "unchanged", "loaded"
    ]  # fmt: skip
    assert airq("verify", *directory).out.splitlines()[1].split()[:2] == ["2025-01", "960"]
    assert "960 rows removed" in airq("loads", "undo", "1", *directory).out
