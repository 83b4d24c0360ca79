"""The cache that is measured: Varnish with the rules of deploy/images/cache, in front of an API process.

The tests of the cache know where a real Varnish is to be had, so that both run the same one.
"""

import secrets
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.bench import Bench
from benchmarks.figures import BenchmarkFailed, LeftOut
from benchmarks.processes import START_SECONDS, Service, answers, free_port
from tests.cache.varnish import NoVarnish, Varnish, find_varnish

SIZE = "256m"
"""The image's own AIRQ_CACHE_SIZE."""

HOW_RUN = {"image": "in its container", "chroot": "of the image's packages, in a Debian of its own"}


@dataclass(frozen=True)
class Cache(Service):
    """A running cache.

    Args:
        purging: the settings with which `airq load` purges it.
        log: where it writes a line for each request.
    """

    purging: Mapping[str, str]
    log: Path

    def logged(self) -> int:
        """Return how many requests are in the log, once no more are being written."""
        size = -1
        while size != (size := self.log.stat().st_size):
            time.sleep(0.5)
        with self.log.open("rb") as lines:
            return sum(line.startswith(b"{") for line in lines)


def find() -> Varnish:
    """Return the Varnish that is to be measured.

    Raises:
        LeftOut: there is none here in which the cache's own entrypoint runs.
    """
    try:
        found = find_varnish()
    except NoVarnish as error:
        raise LeftOut(str(error)) from None
    if found.kind not in HOW_RUN:
        raise LeftOut("the cache's entrypoint runs in its image (make images) or as root with mmdebstrap")
    return found


@contextmanager
def cached(bench: Bench, varnish: Varnish, api: Service) -> Iterator[Cache]:
    """Keep the cache running in front of an API, its log written to a file.

    Raises:
        BenchmarkFailed: it does not answer.
    """
    port, purge_port, token = free_port(), free_port(), secrets.token_hex(16)
    settings = {
        "AIRQ_API_HOST": "127.0.0.1",
        "AIRQ_API_PORT": str(api.port),
        "AIRQ_CACHE_SIZE": SIZE,
        "AIRQ_CACHE_PORT": str(port),
        "AIRQ_CACHE_PURGE_PORT": str(purge_port),
        "AIRQ_PURGE_TOKEN": token,
    }
    purging = {"AIRQ_PURGE_URL": f"http://127.0.0.1:{purge_port}/", "AIRQ_PURGE_TOKEN": token}
    log = bench.directory / "cache.log"
    with varnish.serving(settings, log) as process:
        cache = Cache(port, process.pid, purging, log)
        deadline = time.monotonic() + START_SECONDS
        # The log's reader is started last; requests from then on are in the log.
        while not (answers(f"{cache.url}/pollutants") and log.stat().st_size):
            if process.poll() is not None or time.monotonic() > deadline:
                raise BenchmarkFailed(f"the cache does not answer: {log.read_text(errors='replace')[-500:]}")
            time.sleep(0.1)
        yield cache
