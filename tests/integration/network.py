"""A PostgreSQL as operators have it: on TCP, with passwords and TLS."""

import contextlib
import os
import pwd
import shutil
import signal
import socket
import socketserver
import ssl
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import asyncpg
import pytest

from airq import embedded
from tests.conftest import execute

RULES = "host all all 127.0.0.1/32 scram-sha-256\n"
SSL_REQUEST = (8).to_bytes(4) + (80877103).to_bytes(4)
"""PostgreSQL documentation, "Message Formats"."""

PASSWORD = "the administrator's"


@dataclass(frozen=True)
class Network:
    """A server on a port of 127.0.0.1, and on another one by TLS alone.

    Its certificate is for `localhost` and signed by `authority`.
    """

    port: int
    tls_port: int
    authority: Path
    stranger: Path
    """The certificate of an authority that signed nothing here."""

    def url(
        self,
        user: str,
        password: str,
        database: str = "postgres",
        *,
        tls: bool = False,
        **options: str | Path,
    ) -> str:
        """Return the URL with which a user logs in."""
        query = "&".join(f"{name}={quote(str(value), safe='')}" for name, value in options.items())
        login = f"{quote(user, safe='')}:{quote(password, safe='')}"
        port = self.tls_port if tls else self.port
        return f"postgresql://{login}@localhost:{port}/{database}" + (f"?{query}" if query else "")

    def execute(self, *statements: str, database: str = "postgres") -> None:
        """Run statements as the superuser."""
        execute(self.url("postgres", PASSWORD, database), *statements)


@contextmanager
def network(binaries: Path, port: int) -> Iterator[Network]:
    """Run such a server until the block's end."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("openssl is not installed")
    account = pwd.getpwnam(embedded.ROOTS_ACCOUNT) if os.geteuid() == 0 else None
    user = account.pw_uid if account else None
    group = account.pw_gid if account else None

    def run(*command: str | Path) -> None:
        subprocess.run(
            list(map(str, command)), check=True, capture_output=True, user=user, group=group,
            extra_groups=[] if account else None, cwd="/",
        )  # fmt: skip

    with tempfile.TemporaryDirectory(prefix="airq-test-") as name:
        place = Path(name)
        if account:
            os.chown(place, account.pw_uid, account.pw_gid)
        place.chmod(0o755)
        for authority in ("authority", "stranger"):
            run(openssl, "req", "-x509", "-nodes", "-newkey", "rsa:2048", "-days", "2", "-subj",
                f"/CN={authority}", "-keyout", place / f"{authority}.key", "-out",
                place / f"{authority}.pem")  # fmt: skip
        run(openssl, "req", "-x509", "-nodes", "-newkey", "rsa:2048", "-days", "2", "-subj",
            "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-addext",
            "basicConstraints=critical,CA:FALSE", "-CA", place / "authority.pem", "-CAkey",
            place / "authority.key", "-keyout", place / "server.key",
            "-out", place / "server.pem")  # fmt: skip
        password = place / "password"
        password.write_text(PASSWORD)
        password.chmod(0o644)
        data = place / "data"
        run(binaries / "initdb", "-D", data, "--username=postgres", "--auth=scram-sha-256",
            f"--pwfile={password}", "--encoding=UTF8", "--locale=C", "--no-sync")  # fmt: skip
        (data / "pg_hba.conf").write_text(RULES)
        options = {
            "listen_addresses": "127.0.0.1", "port": str(port), "unix_socket_directories": name,
            "fsync": "off",
        }  # fmt: skip
        arguments = [part for option in options.items() for part in ("-c", "=".join(option))]
        with (place / "log").open("wb") as log, subprocess.Popen(
            [binaries / "postgres", "-D", data, *arguments], stderr=log, user=user, group=group,
            extra_groups=[] if account else None, cwd="/",
        ) as process:  # fmt: skip
            try:
                with _tls(port, place / "server.pem", place / "server.key") as tls_port:
                    made = Network(port, tls_port, place / "authority.pem", place / "stranger.pem")
                    _wait_until_ready(made, place / "log")
                    yield made
            finally:
                process.send_signal(signal.SIGINT)
                process.wait(20)


@contextlib.contextmanager
def _tls(port: int, certificate: Path, key: Path) -> Iterator[int]:
    """Take TLS connections for a server that was built without it, as the embedded one is."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            if self.request.recv(8) != SSL_REQUEST:
                return
            self.request.sendall(b"S")
            with (
                contextlib.suppress(OSError),
                context.wrap_socket(self.request, server_side=True) as client,
                socket.create_connection(("127.0.0.1", port)) as server,
            ):
                back = threading.Thread(target=_forward, args=(server, client), daemon=True)
                back.start()
                _forward(client, server)
                back.join()

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as proxy:
        proxy.daemon_threads = True
        thread = threading.Thread(target=proxy.serve_forever)
        thread.start()
        try:
            yield proxy.server_address[1]
        finally:
            proxy.shutdown()
            thread.join()


def _forward(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_RDWR)


def _wait_until_ready(made: Network, log: Path) -> None:
    deadline = time.monotonic() + 30
    while True:
        try:
            made.execute("SELECT 1")
            return
        except (OSError, asyncpg.PostgresError):
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.05)
