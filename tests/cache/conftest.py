"""What the tests of the cache share: the real Varnish, and caches that run."""

import http.client
import json
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.cache.varnish import HOSTS, NoVarnish, Varnish, find_varnish
from tests.ports import free_port

TOKEN = "a-secret-of-this-test"


@dataclass(frozen=True)
class Answer:
    """What came back, its header names in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass
class Cache:
    """A running cache: its ports and process."""

    port: int
    purge_port: int
    process: "subprocess.Popen[bytes]"
    log: Path

    def ask(self, target: str, method: str = "GET", port: int | None = None, **headers: str) -> Answer:
        """Send one request; headers' underscores stand for hyphens."""
        connection = http.client.HTTPConnection("127.0.0.1", port or self.port, timeout=30)
        try:
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            connection.request(method, target, headers=named)
            answer = connection.getresponse()
            found = {name.lower(): value for name, value in answer.getheaders()}
            return Answer(answer.status, found, answer.read())
        finally:
            connection.close()

    def purge(self, **headers: str) -> int:
        """Purge with the token; return how many answers were dropped."""
        answer = self.ask("/", "PURGE", self.purge_port, Authorization=f"Bearer {TOKEN}", **headers)
        assert answer.status == 200, answer.body
        return int(json.loads(answer.body)["purged"])

    def lines(self) -> list[dict[str, object]]:
        """Return the access log, from the first requests on, which waited for the cache."""
        # What stands behind the last line's end is still being written.
        whole, _, _ = self.log.read_text().rpartition("\n")
        return [json.loads(line) for line in whole.splitlines() if line.startswith("{")]


@pytest.fixture(scope="session")
def varnish() -> Varnish:
    """The real Varnish; whoever asks for these tests wants them to run, so that none is a failure."""
    try:
        return find_varnish()
    except NoVarnish as error:
        pytest.fail(str(error))


StartCache = Callable[..., Cache]


@pytest.fixture
def start_cache(varnish: Varnish, tmp_path: Path) -> Iterator[StartCache]:
    """Starts caches; `hosts` takes the place of /etc/hosts."""
    if varnish.kind == "machine":
        pytest.fail("the entrypoint runs in the image or in a Debian of its own (as root, with mmdebstrap)")
    with ExitStack() as stack:

        def start(api_port: int, hosts: Path = HOSTS, **settings: str) -> Cache:
            port, purge_port = free_port(), free_port()
            log = tmp_path / f"cache-{port}.log"
            process = stack.enter_context(
                varnish.serving(
                    {
                        "AIRQ_API_HOST": "127.0.0.1",
                        "AIRQ_API_PORT": str(api_port),
                        "AIRQ_CACHE_SIZE": "64m",
                        "AIRQ_PURGE_TOKEN": TOKEN + "\n",  # As secrets from files end.
                        "AIRQ_CACHE_PORT": str(port),
                        "AIRQ_CACHE_PURGE_PORT": str(purge_port),
                        **settings,
                    },
                    log,
                    hosts,
                )
            )
            cache = Cache(port, purge_port, process, log)
            wait_for(lambda: cache.ask("/not-there%").status == 404 and bool(cache.lines()), cache)
            return cache

        yield start


def wait_for(condition: Callable[[], bool], cache: Cache, seconds: float = 30) -> None:
    """Wait until something is so, or fail with what the cache said."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            if condition():
                return
        except OSError:
            assert cache.process.poll() is None, cache.log.read_text()
        time.sleep(0.1)
    pytest.fail(f"it never came to be:\n{cache.log.read_text()[-3000:]}")
