"""The cache's connections to the API: how long they are used, and how long one may take to come about."""

import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, HTTPServer, ThreadingHTTPServer

import pytest

from tests.cache.conftest import StartCache
from tests.cache.varnish import ASKED, WHY_NOT

pytestmark = pytest.mark.skipif(not ASKED, reason=WHY_NOT)
MISSES = 500
TOO_OLD_SECONDS = 11.5
"""So old, and while the API looks ready, an answer is given behind a fetch that failed and not before."""


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


class NoBacklog(HTTPServer):
    """Takes one connection and lets one wait; the kernel answers no other."""

    request_queue_size = 0


class AnsweringOnce(BaseHTTPRequestHandler):
    """Ends each connection with its answer, which is fresh for a second."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.send_header("Cache-Control", "public, s-maxage=1")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *arguments: object) -> None:
        """Keep quiet."""


def test_a_connection_that_does_not_come_about_is_given_up_behind_a_second_and_a_half(
    start_cache: StartCache,
) -> None:
    with NoBacklog(("127.0.0.1", 0), AnsweringOnce) as server, ExitStack() as stack:
        serving = threading.Thread(target=server.serve_forever, args=(0.1,))
        serving.start()
        try:
            cache = start_cache(server.server_address[1])
            assert cache.ask("/air_quality").status == 200
            time.sleep(TOO_OLD_SECONDS)
        finally:
            server.shutdown()
            serving.join()
        # As where its node is gone: connections begin, and nothing comes back.
        for _ in range(3):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(server.server_address)
        began = time.monotonic()
        assert cache.ask("/air_quality").headers["x-cache"] == "stale"
        assert 1.4 < time.monotonic() - began < 2.5
