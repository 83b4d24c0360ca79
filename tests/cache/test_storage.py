"""What is stored when there is no more room; `make test-cache` runs it."""

import http.client
import threading
from collections.abc import Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tests.cache.conftest import StartCache
from tests.cache.varnish import ASKED, WHY_NOT

pytestmark = pytest.mark.skipif(not ASKED, reason=WHY_NOT)

SMALL, LARGE = b"s" * 1_000, b"l" * 2_500_000
"""One station, and 10,000 rows."""


class _Api(BaseHTTPRequestHandler):
    """Answers stations with few bytes and measurements with many; all may be stored."""

    protocol_version = "HTTP/1.1"
    wbufsize = 64 * 1024
    """An answer goes out as a whole; in parts, the second would wait for the first one's acknowledgement."""

    def do_GET(self) -> None:
        """Answer."""
        body = LARGE if self.path.startswith("/air_quality") else SMALL
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "public, s-maxage=600")
        self.send_header("Cache-Tag", "all")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments: object) -> None:
        """Say nothing."""


@pytest.fixture
def api_port() -> Iterator[int]:
    """The port of such an API."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Api) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


def test_a_large_answer_takes_the_place_of_as_many_small_ones_as_it_must(
    api_port: int, start_cache: StartCache
) -> None:
    cache = start_cache(api_port, AIRQ_CACHE_SIZE="8m")
    with closing(http.client.HTTPConnection("127.0.0.1", cache.port, timeout=30)) as connection:
        for number in range(12_000):
            connection.request("GET", f"/stations/{number}")
            assert connection.getresponse().read() == SMALL
    assert cache.ask("/stations/0").headers["x-cache"] == "miss", "there is room left"
    first, second = cache.ask("/air_quality"), cache.ask("/air_quality")
    assert (first.status, first.headers["x-cache"], first.body) == (200, "miss", LARGE)
    assert (second.status, second.headers["x-cache"]) == (200, "hit")
