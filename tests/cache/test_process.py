"""The cache's own process: what it refuses, whom it follows, how it ends; `make test-cache` runs them."""

import itertools
import os
import re
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from tests.cache.conftest import TOKEN, Cache, StartCache, wait_for
from tests.cache.varnish import ASKED, IMAGE_FOLDER, WHY_NOT, Varnish
from tests.conftest import FOR_GOOD
from tests.ports import free_port

pytestmark = pytest.mark.skipif(not ASKED, reason=WHY_NOT)

ANOTHER_ADDRESS = (
    f"{FOR_GOOD}changing an address takes a Debian of its own; the container tests do it with Compose"
)


@contextmanager
def answering(host: str, port: int, text: str) -> Iterator[None]:
    """Stand in for an API at an address."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Cache-Control", "public, s-maxage=600")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *arguments: object) -> None:
            """Keep quiet."""

    server = ThreadingHTTPServer((host, port), Handler)
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_the_cache_follows_the_api_to_a_new_address_and_keeps_what_is_stored(
    varnish: Varnish, start_cache: StartCache, tmp_path: Path
) -> None:
    if varnish.kind != "chroot":
        pytest.skip(ANOTHER_ADDRESS)
    hosts, port = tmp_path / "hosts", free_port()
    hosts.write_text("127.0.0.1 localhost\n")
    cache = start_cache(port, hosts, AIRQ_API_HOST="api.test")
    # It starts without an API too.
    assert cache.ask("/air_quality?limit=1").status == 503
    with answering("127.0.0.2", port, "first"):
        hosts.write_text("127.0.0.1 localhost\n127.0.0.2 api.test\n")
        wait_for(lambda: cache.ask("/air_quality?limit=2").body == b"first", cache)
    with answering("127.0.0.3", port, "second"):
        hosts.write_text("127.0.0.1 localhost\n127.0.0.3 api.test\n")
        wait_for(lambda: cache.ask("/air_quality?limit=3").body == b"second", cache)
        stored = cache.ask("/air_quality?limit=2")
        assert (stored.headers["x-cache"], stored.body) == ("hit", b"first")
        assert cache.purge(Purge_All="yes") == 2
        # A name that is gone for a while, and two addresses behind one name.
        hosts.write_text("127.0.0.1 localhost\n")
        time.sleep(5)
        assert cache.ask("/air_quality?limit=4").body == b"second"
        with answering("127.0.0.2", port, "first"):
            hosts.write_text("127.0.0.1 localhost\n127.0.0.2 api.test\n127.0.0.3 api.test\n")
            both, numbers = set(), itertools.count(100)

            def both_answered() -> bool:
                both.add(cache.ask(f"/air_quality?limit={next(numbers)}").body)
                return both == {b"first", b"second"}

            wait_for(both_answered, cache)


def test_new_addresses_that_could_not_be_taken_are_tried_again(
    varnish: Varnish, start_cache: StartCache, tmp_path: Path
) -> None:
    if varnish.kind != "chroot":
        pytest.skip(ANOTHER_ADDRESS)
    hosts, port = tmp_path / "hosts", free_port()
    hosts.write_text("127.0.0.1 localhost\n")
    path = f"/tests/failing_once:{os.environ['PATH']}"
    cache = start_cache(port, hosts, AIRQ_API_HOST="api.test", PATH=path)
    for address, target in (("127.0.0.2", "/air_quality?limit=2"), ("127.0.0.3", "/air_quality?limit=3")):
        with answering(address, port, address):
            hosts.write_text(f"127.0.0.1 localhost\n{address} api.test\n")
            wait_for(partial(answers, cache, target, address), cache)
    time.sleep(3)
    said = re.findall(r"^varnishadm: (vcl\.\w+ \w+)", cache.log.read_text(), re.MULTILINE)
    assert said == [
        "vcl.load site_1",  # It fails, and is tried again with the next number.
        "vcl.load site_2",
        "vcl.use site_2",
        "vcl.discard boot",  # It fails too, and the rules that are in use are the new ones all the same.
        "vcl.load site_3",
        "vcl.use site_3",
        "vcl.discard site_2",
    ]


def answers(cache: Cache, target: str, text: str) -> bool:
    """Tell whether a cache answers with a text."""
    return cache.ask(target).body == text.encode()


def test_varnish_may_open_more_files_than_newer_engines_give(start_cache: StartCache) -> None:
    cache = start_cache(1, PATH=f"/tests/telling_limit:{os.environ['PATH']}")
    said = re.search(r"^varnishd: (\d+) files$", cache.log.read_text(), re.MULTILINE)
    assert said is not None
    assert 1024 < int(said[1]) <= 65536


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"AIRQ_PURGE_TOKEN": ""}, "AIRQ_PURGE_TOKEN"),
        ({"AIRQ_PURGE_TOKEN": "change-me-please"}, "AIRQ_PURGE_TOKEN"),
        ({"AIRQ_RATE_LIMIT": "10"}, "AIRQ_RATE_LIMIT"),
        ({"AIRQ_RATE_LIMIT": "0/10"}, "AIRQ_RATE_LIMIT"),
        ({"AIRQ_RATE_LIMIT": "10/1m"}, "AIRQ_RATE_LIMIT"),
        ({"AIRQ_TRUSTED_PROXIES": "10.0.0.0/8; drop"}, "AIRQ_TRUSTED_PROXIES"),
    ],
)
def test_the_cache_refuses_to_start_with_a_setting_that_is_none(
    varnish: Varnish, tmp_path: Path, settings: dict[str, str], named: str
) -> None:
    log = tmp_path / "log"
    given = {
        "AIRQ_API_HOST": "127.0.0.1",
        "AIRQ_API_PORT": "1",
        "AIRQ_CACHE_SIZE": "64m",
        "AIRQ_PURGE_TOKEN": TOKEN,
    }
    with varnish.serving(given | settings, log) as process:
        assert process.wait(20) == 64
    assert named in log.read_text()
    assert TOKEN not in log.read_text()


def test_the_cache_limits_clients_whom_trusted_proxies_name(start_cache: StartCache) -> None:
    cache = start_cache(1, AIRQ_RATE_LIMIT="2/60", AIRQ_TRUSTED_PROXIES="192.0.2.0/24, 127.0.0.1,::1")
    statuses = [cache.ask("/", "POST", X_Forwarded_For="203.0.113.5").status for _ in range(1)]
    statuses += [cache.ask("/docs", X_Forwarded_For="203.0.113.5").status for _ in range(3)]
    assert statuses == [405, 503, 503, 429]
    assert cache.ask("/docs", X_Forwarded_For="203.0.113.6").status == 503


def test_sigterm_ends_the_cache_at_once_and_cleanly(start_cache: StartCache) -> None:
    cache = start_cache(1)
    assert cache.ask("/livez").status == 503
    began = time.monotonic()
    cache.process.send_signal(signal.SIGTERM)
    assert cache.process.wait(10) == 0
    assert time.monotonic() - began < 5
    assert [line["target"] for line in cache.lines()][-1:] == ["/livez"]


def test_the_image_holds_every_file_that_the_tests_run_with() -> None:
    copied = (IMAGE_FOLDER / "Dockerfile").read_text()
    for path in IMAGE_FOLDER.iterdir():
        # What the image is made with, and what Kubernetes takes the rules with.
        if path.name not in ("Dockerfile", "kustomization.yaml"):
            assert f"deploy/images/cache/{path.name}" in copied
