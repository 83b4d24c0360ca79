"""Processes that use an embedded PostgreSQL, and what can be seen of them and of their server."""

import asyncio
import fcntl
import importlib.util
import json
import os
import pwd
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from airq import embedded
from airq.domain.errors import AirqError, ConfigurationError

IS_ROOT = os.geteuid() == 0
NOBODY = pwd.getpwnam(embedded.ROOTS_ACCOUNT)
WHEEL = importlib.util.find_spec(embedded.PACKAGE)

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


@contextmanager
def user(
    directory: Path | str,
    programs: Path,
    *,
    python: str = sys.executable,
    packages: Path | None = None,
    environment: Mapping[str, str] = os.environ,
    account: str | None = None,
) -> Iterator[subprocess.Popen[str]]:
    """Run another airq process on a data directory; kill it with the block's end."""
    path = [str(part) for part in (packages, Path(embedded.__file__).parents[2], *sys.path) if part]
    with subprocess.Popen(
        [python, "-B", "-W", "error", "-c", USER, str(directory), str(programs)],
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
    """Let the process leave the server, without a word of complaint."""
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


def refusal(directory: Path, programs: Path, error: type[AirqError] = ConfigurationError) -> str:
    """Return what a start that must fail says."""
    with pytest.raises(error) as caught, embedded.running(directory, programs_root=programs):
        pass
    return str(caught.value)


def is_alive(directory: Path) -> bool:
    """Whether any process of the directory's server is left."""
    return (directory / "server.lock").exists() and is_held(directory / "server.lock")


def is_held(lock_file: Path) -> bool:
    """Whether any process holds a lock on the file."""
    with lock_file.open("r+b") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        return False


def wait_for_end(directory: Path) -> None:
    """Wait until no process of the directory's server is left."""
    deadline = time.monotonic() + 20
    while is_alive(directory):
        assert time.monotonic() < deadline, "the server is still alive"
        time.sleep(0.02)


def server_pid(directory: Path) -> int:
    """Return the process id of the directory's server."""
    return int((directory / "cluster" / "postmaster.pid").read_text().split()[0])


def runs_with(path: Path) -> bool:
    """Whether a process has the path among its arguments, where the system shows them."""
    for arguments in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):  # It has ended since.
            if os.fsencode(path) in arguments.read_bytes():
                return True
    return False


def server_log(directory: Path) -> str:
    """Return all that the directory's server has logged."""
    return "".join(path.read_text() for path in (directory / "log").glob("server-*.log"))
