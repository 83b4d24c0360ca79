"""A real `airq serve`, for tests that look at it from outside."""

import os
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from email.message import Message
from pathlib import Path

from tests.ports import free_port

START_SECONDS = 60.0


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    headers: Message
    body: bytes


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *arguments: object) -> None:
        return None


_opener = urllib.request.build_opener(_NoRedirect, urllib.request.ProxyHandler({}))


@dataclass(frozen=True)
class Served:
    """A service and where it is."""

    url: str
    metrics_url: str

    def get(self, target: str, **headers: str) -> Answer:
        """Ask for a path; errors are answers too, and redirects are not followed."""
        return get(self.url + target, **headers)


def get(url: str, **headers: str) -> Answer:
    """Ask for a URL; errors are answers too, and redirects are not followed."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    try:
        with _opener.open(urllib.request.Request(url, headers=named), timeout=30) as response:
            return Answer(response.status, response.headers, response.read())
    except urllib.error.HTTPError as error:
        with error:
            return Answer(error.code, error.headers, error.read())


def is_ready(url: str) -> bool:
    """Tell whether a service answers, and can serve."""
    try:
        return get(f"{url}/readyz").status == 200
    except OSError:
        return False


def environment(**settings: str) -> dict[str, str]:
    """Return this process's environment with these settings of airq and no others."""
    return {name: value for name, value in os.environ.items() if not name.startswith("AIRQ_")} | settings


@contextmanager
def reachable_directory() -> Iterator[Path]:
    """Make a directory that the embedded PostgreSQL's account can pass, as pytest's own for root can't."""
    with tempfile.TemporaryDirectory(prefix="airq-test-") as name:
        directory = Path(name)
        directory.chmod(0o755)
        yield directory


@contextmanager
def serving(*arguments: str) -> Iterator[Served]:
    """Run `airq serve` with an empty data directory of its own, until the block ends."""
    port, metrics_port = free_port(), free_port()
    served = Served(f"http://127.0.0.1:{port}", f"http://127.0.0.1:{metrics_port}/metrics")
    settings = environment(AIRQ_PORT=str(port), AIRQ_METRICS_PORT=str(metrics_port))
    with reachable_directory() as directory, (directory / "log").open("w+") as log:
        command = [
            sys.executable,
            "-m",
            "airq",
            "serve",
            *arguments,
            "--data-directory",
            str(directory / "data"),
        ]
        with subprocess.Popen(command, env=settings, stdout=log, stderr=log) as process:
            try:
                deadline = time.monotonic() + START_SECONDS
                while not is_ready(served.url):
                    alive = process.poll() is None and time.monotonic() < deadline
                    assert alive, (directory / "log").read_text()
                    time.sleep(0.05)
                yield served
            finally:
                process.send_signal(signal.SIGTERM)
                process.wait(30)
