"""The embedded PostgreSQL, with the real programs of the wheel, real processes and real signals."""

import asyncio
import fcntl
import importlib.util
import json
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from airq import embedded
from airq.domain.errors import AirqError, ConfigurationError

IS_ROOT = os.geteuid() == 0
NOBODY = pwd.getpwnam(embedded.ROOTS_ACCOUNT)
WHEEL = importlib.util.find_spec(embedded.PACKAGE)

pytestmark = pytest.mark.skipif(WHEEL is None, reason="the extra `embedded` is not installed")
needs_root = pytest.mark.skipif(not IS_ROOT, reason="only root can test what happens to root")

USER = """
import json, sys
from pathlib import Path
from airq import embedded

directory = Path(sys.argv[1]) if sys.argv[1] else embedded.default_data_directory(None)
with embedded.running(directory, programs_root=Path(sys.argv[2])) as server:
    print(json.dumps(vars(server), default=str), flush=True)
    sys.stdin.read()
"""
"""An airq that uses the server until its standard input ends."""


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory that every account may enter, as pytest's own for root is not."""
    directory = Path(tempfile.mkdtemp(prefix="airq-test-"))
    directory.chmod(0o755)
    yield directory
    shutil.rmtree(directory)


@contextmanager
def user(
    directory: Path | str,
    place: Path,
    *,
    python: str = sys.executable,
    packages: Path | None = None,
    environment: Mapping[str, str] = os.environ,
    account: str | None = None,
) -> Iterator[subprocess.Popen[str]]:
    """Run another airq process on a data directory; kill it with the block's end."""
    path = [str(part) for part in (packages, Path(embedded.__file__).parents[1], *sys.path) if part]
    with subprocess.Popen(
        [python, "-B", "-W", "error", "-c", USER, str(directory), str(place / "programs")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**environment, "PYTHONPATH": os.pathsep.join(path)},
        start_new_session=True,
        cwd="/",
        user=account,
        group=NOBODY.pw_gid if account else None,
        extra_groups=[] if account else None,
    ) as process:
        try:
            yield process
        finally:
            process.kill()
            process.communicate()


def answer(process: subprocess.Popen[str]) -> dict[str, Any]:
    """Wait until the process uses the server, and say what it found."""
    assert process.stdout
    assert process.stderr
    line = process.stdout.readline()
    assert line, process.stderr.read()
    return dict(json.loads(line))


def leave(process: subprocess.Popen[str]) -> None:
    _, errors = process.communicate(timeout=30)
    assert (process.returncode, errors) == (0, "")


def query(url: str, *statements: str) -> Any:
    """Run statements; return the last one's first value."""

    async def run() -> Any:
        connection = await asyncpg.connect(url)
        try:
            for statement in statements[:-1]:
                await connection.execute(statement)
            return await connection.fetchval(statements[-1])
        finally:
            await connection.close()

    return asyncio.run(run())


def refusal(directory: Path, place: Path, error: type[AirqError] = ConfigurationError) -> str:
    """Return what a start that must fail says."""
    with (
        pytest.raises(error) as caught,
        embedded.running(directory, programs_root=place / "programs"),
    ):
        pass
    return str(caught.value)


def is_alive(directory: Path) -> bool:
    """Whether any process of the directory's server is left."""
    return (directory / "server.lock").exists() and is_held(directory / "server.lock")


def is_held(lock_file: Path) -> bool:
    with lock_file.open("r+b") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        return False


def wait_for_end(directory: Path) -> None:
    deadline = time.monotonic() + 20
    while is_alive(directory):
        assert time.monotonic() < deadline, "the server is still alive"
        time.sleep(0.02)


def server_pid(directory: Path) -> int:
    return int((directory / "cluster" / "postmaster.pid").read_text().split()[0])


def runs_with(path: Path) -> bool:
    """Whether a process has the path among its arguments, where the system shows them."""
    for arguments in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):  # It has ended since.
            if os.fsencode(path) in arguments.read_bytes():
                return True
    return False


def server_log(directory: Path) -> str:
    return "".join(path.read_text() for path in (directory / "log").glob("server-*.log"))


def test_the_url_reaches_a_durable_utf_8_database_that_is_on_no_network(place: Path) -> None:
    expected = {
        "server_encoding": "UTF8",
        "data_checksums": "on",
        "fsync": "on",
        "synchronous_commit": "on",
        "TimeZone": "UTC",
        "listen_addresses": "",
        "max_connections": "50",
    }
    with embedded.running(place / "data", programs_root=place / "programs") as server:
        assert server.started_here
        assert is_alive(place / "data")
        assert (server.binaries / "pg_dump").exists()
        assert {name: query(server.url, f"SHOW {name}") for name in expected} == expected
        assert query(server.url, "SHOW server_version").startswith(embedded.MAJOR_VERSION)
        assert query(server.url, "SELECT current_database()") == "airq"
        assert query(server.url, "SELECT upper('ä') || lower('Ω')") == "Äω"
    assert not is_alive(place / "data")
    assert not (place / "data" / "cluster" / "postmaster.pid").exists()
    assert not (place / "data" / "socket").exists()


def test_data_are_kept_between_runs(place: Path) -> None:
    said: list[str] = []
    with embedded.running(place / "d", on_progress=said.append, programs_root=place) as server:
        query(server.url, "CREATE TABLE kept AS SELECT 42 AS value", "SELECT 1")
    with embedded.running(place / "d", on_progress=said.append, programs_root=place) as server:
        assert server.started_here
        assert query(server.url, "SELECT value FROM kept") == 42
    assert [sentence.split()[0] for sentence in said] == ["making", "starting", "starting"]


def test_nobody_else_can_read_the_data_or_reach_the_socket(place: Path) -> None:
    owner = NOBODY.pw_uid if IS_ROOT else os.geteuid()
    with embedded.running(place / "data", programs_root=place / "programs"):
        for name in ("cluster", "socket", "log"):
            status = (place / "data" / name).stat()
            assert (status.st_uid, status.st_mode & 0o777) == (owner, 0o700)


def test_processes_share_one_server_and_the_last_one_stops_it(place: Path) -> None:
    with user(place / "data", place) as first, ExitStack() as later:
        found = answer(first)
        assert found["started_here"]
        server = later.enter_context(embedded.running(place / "data", programs_root=place))
        assert (server.started_here, server.url) == (False, found["url"])
        os.killpg(first.pid, signal.SIGINT)  # As a terminal does.
        first.communicate(timeout=30)
        assert query(server.url, "SELECT 1") == 1
        later.close()
        assert not is_alive(place / "data")


def test_simultaneous_first_starts_make_one_database(place: Path) -> None:
    with user(place / "data", place) as one, user(place / "data", place) as other:
        found = [answer(one), answer(other)]
        assert sorted(each["started_here"] for each in found) == [False, True]
        query(found[0]["url"], "CREATE TABLE shared AS SELECT 7 AS value", "SELECT 1")
        assert query(found[1]["url"], "SELECT value FROM shared") == 7
        leave(one)
        leave(other)
    assert not is_alive(place / "data")


def test_a_server_whose_users_were_killed_is_taken_over_and_stopped(place: Path) -> None:
    with user(place / "data", place) as killed:
        answer(killed)
        killed.kill()
        killed.wait()
    assert is_alive(place / "data")
    with embedded.running(place / "data", programs_root=place) as server:
        assert not server.started_here
        assert query(server.url, "SELECT 1") == 1
    assert not is_alive(place / "data")


def test_a_pid_file_left_by_a_crash_stops_no_start_even_if_the_pid_is_taken(place: Path) -> None:
    directory = place / "data"
    with user(directory, place) as killed:
        url = answer(killed)["url"]
        query(url, "CREATE TABLE kept AS SELECT 42 AS value", "SELECT 1")
        pid = server_pid(directory)
        killed.kill()
        os.kill(pid, signal.SIGKILL)
        wait_for_end(directory)
    account = embedded.ROOTS_ACCOUNT if IS_ROOT else None
    with subprocess.Popen(["/bin/sleep", "60"], user=account) as somebody_else:
        try:
            for left in ("cluster/postmaster.pid", "socket/.s.PGSQL.5432.lock"):
                first_line, rest = (directory / left).read_text().split("\n", 1)
                assert first_line == str(pid)
                (directory / left).write_text(f"{somebody_else.pid}\n{rest}")
            with embedded.running(directory, programs_root=place) as server:
                assert server.started_here
                assert query(server.url, "SELECT value FROM kept") == 42
            assert somebody_else.poll() is None
        finally:
            somebody_else.kill()


def test_ctrl_c_stops_the_server_cleanly(place: Path) -> None:
    with user(place / "data", place) as process:
        answer(process)
        assert is_alive(place / "data")
        os.killpg(process.pid, signal.SIGINT)  # As a terminal does.
        process.communicate(timeout=30)
    assert not is_alive(place / "data")
    assert "database system is shut down" in server_log(place / "data")


def test_a_second_ctrl_c_ends_at_once(place: Path) -> None:
    with user(place / "data", place) as process:
        answer(process)
        pid = server_pid(place / "data")
        os.kill(pid, signal.SIGSTOP)  # So that it can't answer the first one.
        try:
            os.killpg(process.pid, signal.SIGINT)
            with pytest.raises(subprocess.TimeoutExpired):
                process.wait(timeout=1)
            os.killpg(process.pid, signal.SIGINT)
            process.wait(timeout=2)
        finally:
            os.kill(pid, signal.SIGCONT)
        wait_for_end(place / "data")
    assert "received immediate shutdown request" in server_log(place / "data")


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_a_first_start_that_is_broken_off_leaves_nothing_in_the_way(place: Path, how: signal.Signals) -> None:
    directory = place / "data"
    for seconds in (0.2, 0.4, 0.6, 0.8):
        with user(directory, place) as process:
            time.sleep(seconds)
            os.killpg(process.pid, how)
            _, errors = process.communicate(timeout=30)
            assert not errors or "KeyboardInterrupt" in errors
        lock_is_free = (directory / "start.lock").exists() and not is_held(directory / "start.lock")
        if how == signal.SIGINT or lock_is_free:
            assert not runs_with(directory / "cluster.new")
        if how == signal.SIGINT:
            assert not (directory / "cluster.new").exists()
            assert not is_alive(directory)
    with embedded.running(directory, programs_root=place) as server:
        assert query(server.url, "SELECT current_database()") == "airq"


@pytest.mark.parametrize("name", ["long-" * 24, "with space, comma & 'ü$x'"])
def test_a_directory_may_have_any_name(place: Path, name: str) -> None:
    with embedded.running(place / name / "data", programs_root=place) as server:
        socket = Path(query(server.url, "SHOW unix_socket_directories"))
        assert socket.stat().st_mode & 0o777 == 0o700
        assert socket.parent == Path("/tmp")
        with user(place / name / "data", place) as other:
            assert answer(other)["url"] == server.url
            leave(other)
    assert not socket.exists()


def test_a_strangers_socket_directory_is_not_used(place: Path) -> None:
    directory = place / ("long-" * 24)
    with embedded.running(directory, programs_root=place) as server:
        socket = Path(query(server.url, "SHOW unix_socket_directories"))
    (place / "strangers").mkdir()
    socket.symlink_to(place / "strangers")
    try:
        assert socket.name in refusal(directory, place)
    finally:
        socket.unlink()
    assert not list((place / "strangers").iterdir())


def test_a_directory_with_other_files_is_refused_and_left_alone(place: Path) -> None:
    (place / "photo.jpg").touch()
    assert f"{place} is not empty and holds no database of airq's (but photo.jpg" in refusal(place, place)
    assert [path.name for path in place.iterdir()] == ["photo.jpg"]


def test_a_file_is_no_directory(place: Path) -> None:
    (place / "file").touch()
    assert "Not a directory" in refusal(place / "file", place)


def test_data_of_another_major_version_are_refused(place: Path) -> None:
    with embedded.running(place / "data", programs_root=place):
        pass
    (place / "data" / "cluster" / "PG_VERSION").write_text("17\n")
    assert "PostgreSQL 17, which PostgreSQL 18 can't read" in refusal(place / "data", place)


def test_a_directory_of_another_user_is_refused(place: Path) -> None:
    if IS_ROOT:
        os.chown(place, 12345, 12345)
    directory, owner = (place, 12345) if IS_ROOT else (Path("/usr"), 0)
    assert f"belongs to user {owner}" in refusal(directory, place)


def test_a_directory_in_use_on_another_machine_is_refused(place: Path) -> None:
    with (place / "server.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        lock.write("another-machine")
        lock.flush()
        assert "another container or on another machine" in refusal(place, place)


def test_a_server_that_does_not_start_says_why(place: Path) -> None:
    with embedded.running(place / "data", programs_root=place):
        pass
    with (place / "data" / "cluster" / "postgresql.conf").open("a") as file:
        file.write("no_such_setting = 1\n")
    assert "no_such_setting" in refusal(place / "data", place, embedded.EmbeddedServerError)


def test_a_database_that_can_not_be_made_says_why_and_leaves_nothing(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedded, "SETTINGS", "shared_buffers=nonsense")
    said = refusal(place / "data", place, embedded.EmbeddedServerError)
    assert 'invalid value for parameter "shared_buffers": "nonsense"' in said
    left = {path.name for path in (place / "data").iterdir()}
    assert left <= {"log", "start.lock", "users.lock", "server.lock"}


def test_without_the_wheel_the_error_says_how_to_get_it(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded, "PACKAGE", "no_such_package")
    said = refusal(place / "data", place)
    assert "AIRQ_DATABASE_URL" in said
    assert 'pip install "airq[embedded]"' in said
    assert not (place / "data").exists()


def copy_wheel(packages: Path) -> None:
    assert WHEEL
    assert WHEEL.origin
    installed = Path(WHEEL.origin).parent
    for part in (installed, installed.with_name(f"{installed.name}.libs")):
        if part.exists():
            shutil.copytree(part, packages / part.name)


@needs_root
def test_root_runs_it_where_only_root_may_enter_the_wheels_directory(place: Path) -> None:
    packages = place / "private"
    packages.mkdir(mode=0o700)
    copy_wheel(packages)
    copies = []
    for _ in range(2):
        with user(place / "data", place, packages=packages) as process:
            found = answer(process)
            copies.append(Path(found["binaries"], "postgres").stat().st_ino)
            assert Path(found["binaries"]).is_relative_to(place / "programs")
            assert query(found["url"], "SELECT 1") == 1
            leave(process)
    assert copies[0] == copies[1]
    assert packages.stat().st_mode & 0o777 == 0o700


@needs_root
def test_root_is_told_which_directory_keeps_the_servers_account_out(place: Path) -> None:
    (place / "private").mkdir(mode=0o700)
    assert f"may not enter {place}/private and" in refusal(place / "private" / "data", place)
    assert (place / "private").stat().st_mode & 0o777 == 0o700


@needs_root
def test_an_ordinary_user_keeps_the_data_in_the_home_directory(place: Path) -> None:
    home, packages = place / "home", place / "packages"
    home.mkdir()
    os.chown(home, NOBODY.pw_uid, NOBODY.pw_gid)
    copy_wheel(packages)
    shutil.copytree(Path(embedded.__file__).parent, packages / "airq")
    python = next(filter(runs_for_nobody, (sys.executable, "/usr/bin/python3")), None)
    if python is None:
        pytest.skip("ordinary users may run no Python >= 3.11 here")
    with user(
        "",
        place,
        python=python,
        packages=packages,
        environment={"HOME": str(home)},
        account="nobody",
    ) as process:
        found = answer(process)
        assert found["data_directory"] == str(home / ".local" / "share" / "airq" / "sample")
        assert query(found["url"], "SELECT 1") == 1
        leave(process)
    assert not is_alive(home / ".local" / "share" / "airq" / "sample")
    assert not (place / "programs").exists()


def runs_for_nobody(python: str) -> bool:
    code = "import sys; sys.exit(sys.version_info < (3, 11))"
    try:
        return not subprocess.run(
            [python, "-c", code],
            check=False,
            cwd="/",
            user="nobody",
            group=NOBODY.pw_gid,
            extra_groups=[],
        ).returncode
    except OSError:
        return False


def test_each_source_has_a_directory_of_its_own_that_stays_the_same(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(place)
    sources = [
        None,
        "sample.csv",
        "sample/sample.csv",
        "/data/Année 1.csv.gz",
        "/data/Année 2.csv.gz",
        "https://example.org/air.csv?year=2023",
        "https://example.org/air.csv?year=2024",
        "https://example.org/",
    ]
    directories = [embedded.default_data_directory(source) for source in sources]
    assert len(set(directories)) == len(sources)
    assert {directory.parent for directory in directories} == {embedded.default_root()}
    assert directories[0].name == "sample"
    assert directories[3].name.startswith("ann-e-1-")
    assert directories[5].name.startswith("air-")
    assert embedded.default_data_directory(f"{place}/x/../sample.csv") == directories[1]


@pytest.mark.skipif(IS_ROOT, reason="root keeps its data in one place")
def test_the_default_root_follows_the_users_data_directory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", "/somewhere")
    assert embedded.default_root() == Path("/somewhere/airq")
    monkeypatch.setenv("XDG_DATA_HOME", "relative/is/ignored")
    assert embedded.default_root() == Path.home() / ".local" / "share" / "airq"
