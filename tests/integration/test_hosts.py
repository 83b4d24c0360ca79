"""Of several hosts in a URL, those that are lost cost little time, and a standby goes before its primary."""

import asyncio
import os
import pwd
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import quote, unquote

import asyncpg
import pytest

from airq import embedded
from airq.store import connections
from airq.store.connections import (
    HOST_TIMEOUT_SECONDS,
    SILENT_SECONDS,
    DatabaseUnavailable,
    Hosts,
    connected,
)
from airq.store.measurements import CHECK_WAIT_SECONDS
from tests.conftest import Database
from tests.integration.api.process import serving
from tests.integration.sessions import wait_until

REFUSING = "127.0.0.1:1"


@pytest.fixture
def silent() -> Iterator[list[str]]:
    """Hosts that take connections and never say a word, as what leads to a lost machine does."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(2)]
        yield [f"127.0.0.1:{one.getsockname()[1]}" for one in sockets]


def primary_of(url: str) -> str:
    """Return the server's socket as it stands among hosts of a URL."""
    return quote(unquote(url.partition("host=")[2]), safe="")


def among(hosts: list[str], user: str = "airq_reader", database: str = "postgres", **options: str) -> str:
    """Return a URL of several hosts."""
    query = "&".join(f"{name}={value}" for name, value in options.items())
    return f"postgresql://{user}@{','.join(hosts)}/{database}?{query}"


@pytest.fixture(scope="module")
def standby(server: embedded.Server) -> Iterator[str]:
    """A server that is in recovery for good, as a streaming replica is."""
    account = pwd.getpwnam(embedded.ROOTS_ACCOUNT) if os.geteuid() == 0 else None
    user = account.pw_uid if account else None
    groups: list[str] | None = [] if account else None
    with tempfile.TemporaryDirectory(prefix="airq-test-") as name:
        if account:
            os.chown(name, account.pw_uid, account.pw_gid)
        data = Path(name, "data")
        subprocess.run(
            [server.binaries / "initdb", "-D", data, "--username=postgres", "--auth=trust", "--no-sync"],
            check=True, capture_output=True, user=user, extra_groups=groups, cwd="/",
        )  # fmt: skip
        (data / "standby.signal").touch()
        with subprocess.Popen(
            [server.binaries / "postgres", "-D", data, "-c", "listen_addresses=", "-k", name],
            stderr=subprocess.DEVNULL, user=user, extra_groups=groups, cwd="/",
        ) as process:  # fmt: skip
            host = quote(name, safe="")

            def answers() -> bool:
                try:
                    return role_of(Hosts(), among([host], "postgres")) == "standby"
                except (OSError, asyncpg.PostgresError):
                    return False

            try:
                wait_until(answers)
                yield host
            finally:
                process.send_signal(signal.SIGINT)


def role_of(hosts: Hosts, url: str) -> str:
    """Return what kind of server a connection leads to."""

    async def ask() -> str:
        connection = await hosts.connect(url)
        try:
            return "standby" if await connection.fetchval("SELECT pg_is_in_recovery()") else "primary"
        finally:
            await connection.close()

    return asyncio.run(ask())


@pytest.mark.parametrize(
    ("before", "wish", "found"),
    [
        ("standby primary", "prefer-standby", "standby"),
        ("primary standby", "prefer-standby", "standby"),
        ("silent standby primary", "prefer-standby", "standby"),
        ("silent primary standby", "prefer-standby", "standby"),
        ("silent primary", "prefer-standby", "primary"),
        ("primary silent", "prefer-standby", "primary"),
        ("refusing primary", "prefer-standby", "primary"),
        ("refusing silent primary", "any", "primary"),
        ("primary standby", "any", "primary"),
        ("standby silent primary", "primary", "primary"),
        ("primary standby", "standby", "standby"),
    ],
)
def test_the_wish_for_a_kind_of_server_holds_whoever_is_lost(
    server: embedded.Server, standby: str, silent: list[str], before: str, wish: str, found: str
) -> None:
    named = {
        "primary": primary_of(server.url), "standby": standby, "silent": silent[0], "refusing": REFUSING
    }  # fmt: skip
    url = among([named[name] for name in before.split()], "postgres", target_session_attrs=wish)
    hosts = Hosts()
    assert role_of(hosts, url) == found
    # What gave no answer is asked last at once, and again later.
    began = time.monotonic()
    assert role_of(hosts, url) == found
    assert time.monotonic() - began < HOST_TIMEOUT_SECONDS


def test_a_host_that_gave_no_answer_is_asked_again_later(server: embedded.Server, silent: list[str]) -> None:
    now = 0.0
    hosts = Hosts(clock=lambda: now)
    url = among([silent[0], primary_of(server.url)], "postgres", target_session_attrs="prefer-standby")
    assert role_of(hosts, url) == "primary"
    now += SILENT_SECONDS + 1
    began = time.monotonic()
    assert role_of(hosts, url) == "primary"
    assert time.monotonic() - began >= HOST_TIMEOUT_SECONDS


def test_where_no_host_will_do_the_last_fault_is_told(
    server: embedded.Server, silent: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "CONNECT_TIMEOUT_SECONDS", 2)

    async def connect(url: str) -> None:
        async with connected(url, "airq test"):
            pass

    with pytest.raises(DatabaseUnavailable, match="no answer within 2 s"):
        asyncio.run(connect(among([REFUSING, silent[0]])))
    alone = among([primary_of(server.url), REFUSING], "postgres", target_session_attrs="standby")
    with pytest.raises(DatabaseUnavailable, match="can't be reached"):
        asyncio.run(connect(alone))
    with pytest.raises(DatabaseUnavailable, match="can't be reached"):
        asyncio.run(connect(among([primary_of(server.url)], "postgres", target_session_attrs="standby")))


@pytest.mark.parametrize("lost", [1, 2])
def test_the_api_is_ready_soon_although_the_first_hosts_are_lost(
    database: Database, silent: list[str], lost: int
) -> None:
    name = database.reader.partition("?")[0].rpartition("/")[2]
    hosts = [*silent[:lost], primary_of(database.reader)]
    url = among(hosts, database=name, target_session_attrs="prefer-standby")
    with serving({"AIRQ_READER_URL": url}) as api:
        began = time.monotonic()
        wait_until(lambda: api.get("/readyz").status == 200)
        # Each look that ends before all hosts were asked leaves one of them to the end of the next.
        assert time.monotonic() - began < (lost + 1) * CHECK_WAIT_SECONDS
        assert api.get("/air_quality").status == 200
