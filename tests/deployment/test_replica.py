"""The read-replica component with real PostgreSQL: its scripts and settings, as the manifests hold them."""

import asyncio
import os
import pwd
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import asyncpg
import pytest

from airq import embedded
from airq.store.migrator import Role, migrate
from airq.store.waiting import wait_for_replay
from tests.deployment.conftest import Rendered
from tests.deployment.rendering import REPOSITORY, Manifests
from tests.ports import free_port

COMBINATION = "combinations/read-replica"


@dataclass
class Servers:
    """A primary and its replica as two directories below `place`, on two ports."""

    place: Path
    binaries: Path
    secrets: dict[str, str]
    primary_port: int = field(default_factory=free_port)
    replica_port: int = field(default_factory=free_port)

    @property
    def path(self) -> str:
        """Where programs are found: the server's own first."""
        return f"{self.binaries}:{os.environ['PATH']}"

    def run(self, *command: str | Path, **environment: str) -> "subprocess.CompletedProcess[str]":
        """Run a program as the server's account, in an environment like a pod's."""
        account = pwd.getpwnam(embedded.ROOTS_ACCOUNT) if os.geteuid() == 0 else None
        return subprocess.run(
            [str(part) for part in command], capture_output=True, text=True, check=False, cwd=self.place,
            env={"PATH": self.path, **environment},
            user=account.pw_uid if account else None, group=account.pw_gid if account else None,
            extra_groups=[] if account else None,
        )  # fmt: skip

    def copy(self, **environment: str) -> "subprocess.CompletedProcess[str]":
        """Run the init container's script; names lead to this machine."""
        return self.run(
            "sh", self.place / "copy-primary.sh",
            PGDATA=str(self.place / "replica" / "data"),
            PGHOSTADDR="127.0.0.1",
            PGPORT=str(self.primary_port),
            POSTGRES_PASSWORD=self.secrets["POSTGRES_PASSWORD"],
            REPLICATION_PASSWORD=self.secrets["AIRQ_REPLICATION_PASSWORD"],
            **environment,
        )  # fmt: skip

    @contextmanager
    def running(self, name: str, port: int) -> Iterator[None]:
        """Run a server until the block's end."""
        data, settings = self.place / name / "data", self.place / name / "airq.conf"
        options = f"-c config_file={settings} -c port={port} -c listen_addresses=127.0.0.1"
        started = self.run(
            "pg_ctl", "start", "--wait",
            "-D", data,
            "-l", self.place / name / "log",
            "-o", f"{options} -c unix_socket_directories={self.place}",
            PGPASSWORD=self.secrets["AIRQ_REPLICATION_PASSWORD"], PGHOSTADDR="127.0.0.1",
            PGPORT=str(self.primary_port),
        )  # fmt: skip
        assert started.returncode == 0, started.stderr + (self.place / name / "log").read_text()
        try:
            yield
        finally:
            self.run("pg_ctl", "stop", "--wait", "--mode", "fast", "-D", data)

    def url(self, role: str, *ports: int, options: str = "") -> str:
        """Return a URL over the servers on these ports."""
        password = self.secrets["POSTGRES_PASSWORD" if role == "postgres" else f"{role.upper()}_PASSWORD"]
        hosts = ",".join(f"127.0.0.1:{port}" for port in ports)
        return f"postgresql://{role}:{password}@{hosts}/airq{options}"


def ask(url: str, *statements: str) -> object:
    """Run statements and return the last one's value."""

    async def run() -> object:
        connection = await asyncpg.connect(url)
        try:
            return [await connection.fetchval(statement) for statement in statements][-1]
        finally:
            await connection.close()

    return asyncio.run(run())


def eventually(holds: Callable[[], bool]) -> None:
    """Wait until something holds."""
    deadline = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def write_settings(servers: Servers, manifests: Manifests, name: str, maps: Sequence[str]) -> None:
    """Write the image's settings, and ConfigMaps behind them, as the pod of a server has them."""
    place = servers.place / name
    (place / "conf.d").mkdir(parents=True)
    image = (REPOSITORY / "deploy" / "images" / "database" / "postgresql.conf").read_text()
    # The server of the wheel is built without lz4.
    (place / "airq.conf").write_text(re.sub(r"wal_compression = \w+", "wal_compression = on", image))
    for one in maps:
        for file, text in manifests.get("ConfigMap", one)["data"].items():
            (place / "conf.d" / file).write_text(text.replace("/etc/postgresql", str(place)))


@pytest.fixture(scope="module")
def servers(rendered: Rendered, server: embedded.Server) -> Iterator[Servers]:
    """A primary with the schema, running; its replica is not there yet."""
    manifests = rendered(COMBINATION)
    replica = manifests.pod("database-replica")
    secrets = {"POSTGRES_PASSWORD": "", "AIRQ_LOADER_PASSWORD": "", "AIRQ_READER_PASSWORD": ""}
    secrets = dict.fromkeys([*secrets, "AIRQ_REPLICATION_PASSWORD"], "")
    for number, name in enumerate(secrets):
        secrets[name] = f"secret-{number}"
    with ExitStack() as stack:
        place = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="airq-test-")))
        servers = Servers(place, server.binaries, secrets)
        write_settings(servers, manifests, "primary", ["database-settings"])
        sources = next(one for one in replica.spec["volumes"] if one["name"] == "settings")["projected"][
            "sources"
        ]
        write_settings(servers, manifests, "replica", [one["configMap"]["name"] for one in sources])
        script = manifests.get("ConfigMap", "database-replica-scripts")["data"]["copy-primary.sh"]
        (place / "copy-primary.sh").write_text(script)
        (place / "password").write_text(secrets["POSTGRES_PASSWORD"])
        if os.geteuid() == 0:
            for path in (place, *place.rglob("*")):
                shutil.chown(path, embedded.ROOTS_ACCOUNT)
        made = servers.run(
            "initdb", "-D", place / "primary" / "data", "-U", "postgres", "--pwfile", place / "password",
            "--auth=scram-sha-256", "--encoding=UTF8", "--no-locale", "--no-sync",
        )  # fmt: skip
        assert made.returncode == 0, made.stderr
        stack.enter_context(servers.running("primary", servers.primary_port))
        ask(
            servers.url("postgres", servers.primary_port).replace("/airq", "/postgres"),
            "CREATE DATABASE airq",
        )
        loader = Role("airq_loader", secrets["AIRQ_LOADER_PASSWORD"])
        reader = Role("airq_reader", secrets["AIRQ_READER_PASSWORD"])
        asyncio.run(migrate(servers.url("postgres", servers.primary_port), loader, reader))
        yield servers


def _removing_too_little(place: Path) -> Path:
    """Return a directory with an `rm` that is killed before it has removed a copy of the data."""
    programs = place / "killed"
    programs.mkdir()
    (programs / "rm").write_text(
        '#!/bin/sh\nfor path; do\n  [ -e "$path/standby.signal" ] || continue\n'
        '  unlink "$path/standby.signal"\n  exit 137\ndone\n'
    )
    (programs / "rm").chmod(0o755)
    return programs


def test_a_replica_copies_follows_is_preferred_and_can_be_done_without(
    servers: Servers, rendered: Rendered
) -> None:
    primary = servers.url("postgres", servers.primary_port)
    loader = servers.url("airq_loader", servers.primary_port)
    options = rendered(COMBINATION).get("ConfigMap", "api-database")["data"]["DATABASE_OPTIONS"]
    reader = servers.url("airq_reader", servers.replica_port, servers.primary_port, options=options)
    replica = servers.url("postgres", servers.replica_port)
    replica_as_loader = servers.url("airq_loader", servers.replica_port)

    # Without a replica the API reads the primary.
    assert ask(reader, "SELECT pg_is_in_recovery()") is False

    copied = servers.copy()
    assert copied.returncode == 0, copied.stderr
    with servers.running("replica", servers.replica_port):
        assert ask(reader, "SELECT pg_is_in_recovery()") is True
        following = "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'"
        eventually(lambda: ask(primary, following) == 1)
        assert ask(primary, "SELECT active FROM pg_replication_slots WHERE slot_name = 'replica'") is True

        ask(loader, "INSERT INTO airq.station (name) VALUES ('aq_one')")
        assert asyncio.run(wait_for_replay(loader, replica_as_loader, 20, lambda told: None)) == []
        assert ask(reader, "SELECT count(*) FROM airq.station WHERE name = 'aq_one'") == 1

        # A replica that does not keep up is told, and waited for no longer than that.
        ask(replica, "SELECT pg_wal_replay_pause()")
        ask(loader, "INSERT INTO airq.station (name) VALUES ('aq_two')")
        told: list[str] = []
        [fault] = asyncio.run(wait_for_replay(loader, replica_as_loader, 1.5, told.append))
        assert re.search("is behind", fault)
        assert told
        ask(replica, "SELECT pg_wal_replay_resume()")
        assert asyncio.run(wait_for_replay(loader, replica_as_loader, 20, lambda told: None)) == []

    assert ask(reader, "SELECT pg_is_in_recovery()") is False
    # A copy that is there is not made anew: what is in it stays.
    mark = servers.place / "replica" / "data" / "mark"
    mark.write_text("")
    again = servers.copy()
    assert again.returncode == 0, again.stderr
    assert mark.exists()

    # One that was promoted is no copy any more: its data is its own, whatever became of the slot.
    signal = servers.place / "replica" / "data" / "standby.signal"
    ask(primary, "SELECT pg_drop_replication_slot('replica')")
    signal.rename(signal.with_suffix(".promoted"))
    again = servers.copy()
    assert again.returncode == 0, again.stderr
    assert "promoted" in again.stdout
    assert mark.exists()
    signal.with_suffix(".promoted").rename(signal)

    # One whose slot is lost can't follow any more, and is copied anew; also if the container is killed while
    # it removes the old copy, of which the file that shows a promotion may go first.
    broken_off = servers.copy(PATH=f"{_removing_too_little(servers.place)}:{servers.path}")
    assert broken_off.returncode == 137, broken_off.stderr
    again = servers.copy()
    assert again.returncode == 0, again.stderr
    assert not mark.exists()
    with servers.running("replica", servers.replica_port):
        eventually(lambda: ask(reader, "SELECT count(*) FROM airq.station") == 2)
        assert ask(reader, "SELECT pg_is_in_recovery()") is True
