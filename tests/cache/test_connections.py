"""The cache parts with a connection to the API now and then, and uses it many times before that."""

import threading
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tests.cache.conftest import StartCache
from tests.cache.varnish import ASKED, WHY_NOT

pytestmark = pytest.mark.skipif(not ASKED, reason=WHY_NOT)
MISSES = 500


@pytest.fixture
def connections() -> Iterator[tuple[int, Counter[int]]]:
    """An API's port, and how many requests came over each connection, told by the cache's own port."""
    seen: Counter[int] = Counter()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            if self.path != "/readyz":
                seen[self.client_address[1]] += 1
            self.send_response(200)
            self.send_header("Content-Length", "2")
            self.send_header("Cache-Control", "public, s-maxage=60")
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 its name upstream
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1], seen
        server.shutdown()


def test_a_connection_is_used_many_times_but_not_for_ever(
    connections: tuple[int, Counter[int]], start_cache: StartCache
) -> None:
    port, seen = connections
    cache = start_cache(port)
    for number in range(MISSES):
        answer = cache.ask(f"/stations/aq_{number}")
        assert (answer.status, answer.headers["x-cache"]) == (200, "miss")
    assert sum(seen.values()) >= MISSES
    # On average 50 requests; that one lasts for all of them happens once in 20,000 runs.
    assert 1 < len(seen) < MISSES / 5
