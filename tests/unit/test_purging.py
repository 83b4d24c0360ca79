"""Purging against real little HTTP servers that keep what they were asked."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from airq import purging
from airq.purging import MOST_TAGS, TRIES, Caches, purge


@dataclass
class Cache:
    """A stand-in for a cache's purge listener; the real one is tested with the container suite."""

    port: int = 0
    status: int = 200
    failures_first: int = 0
    body: bytes = b'{"purged":2}'
    asked: list[dict[str, str]] = field(default_factory=list)


@contextmanager
def listening(cache: Cache, host: str = "127.0.0.1") -> Iterator[Cache]:
    class Handler(BaseHTTPRequestHandler):
        def do_PURGE(self) -> None:
            cache.asked.append(dict(self.headers))
            status = cache.status
            if cache.failures_first:
                cache.failures_first -= 1
                status = 503
            self.send_response(status)
            self.send_header("Content-Length", str(len(cache.body)))
            self.end_headers()
            self.wfile.write(cache.body)

        def log_message(self, *args: object) -> None:
            """Keep quiet."""

    server = HTTPServer((host, cache.port), Handler)
    cache.port = server.server_port
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield cache
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _caches(cache: Cache, host: str = "127.0.0.1") -> Caches:
    return Caches(f"http://{host}:{cache.port}/", "secret")


def test_a_purge_names_its_tags_and_shows_its_token() -> None:
    with listening(Cache()) as cache:
        done = purge(_caches(cache), ["all", "s:a%20b/2016-10"])
    [asked] = cache.asked
    assert asked["Purge-Tags"] == "all s:a%20b/2016-10"
    assert asked["Authorization"] == "Bearer secret"
    assert (done.caches, done.answers, done.failures) == (1, 2, {})


def test_many_tags_go_in_several_requests_and_none_is_lost() -> None:
    tags = [f"s:station_{number:04d}/2016-10" for number in range(1000)]
    with listening(Cache()) as cache:
        purge(_caches(cache), tags)
    sent = [tag for asked in cache.asked for tag in asked["Purge-Tags"].split()]
    assert sent == tags
    assert all(len(asked["Purge-Tags"]) < 8_000 for asked in cache.asked)


@pytest.mark.parametrize("tags", [None, [str(number) for number in range(MOST_TAGS + 1)]])
def test_without_tags_or_with_too_many_everything_is_dropped(tags: list[str] | None) -> None:
    with listening(Cache()) as cache:
        purge(_caches(cache), tags)
    [asked] = cache.asked
    assert asked["Purge-All"] == "yes"
    assert "Purge-Tags" not in asked


def test_a_cache_that_fails_at_first_is_asked_again() -> None:
    pauses: list[float] = []
    with listening(Cache(failures_first=2)) as cache:
        done = purge(_caches(cache), ["all"], pauses.append)
    assert done.caches == 1
    assert len(pauses) == 2


def test_a_wrong_token_is_reported_and_not_raised() -> None:
    with listening(Cache(status=403)) as cache:
        done = purge(_caches(cache), ["all"], lambda seconds: None)
    assert done.caches == 0
    assert "AIRQ_PURGE_TOKEN" in done.failures["127.0.0.1"]


def test_a_cache_that_is_gone_is_reported_and_not_raised() -> None:
    with listening(Cache()) as cache:
        pass
    done = purge(_caches(cache), ["all"], lambda seconds: None)
    assert list(done.failures) == ["127.0.0.1"]


@pytest.mark.parametrize(
    "body",
    [b"", b"ok", b"2", b"[]", b"{}", b'{"purged":"2"}', b'{"purged":1e400}', b'{"purged":null}',
     b'{"purged":2', b'{"\xff":2}', b"\xff\xfe"],
)  # fmt: skip
def test_an_answer_of_something_else_is_reported_and_not_raised(body: bytes) -> None:
    with listening(Cache(body=body)) as cache:
        done = purge(_caches(cache), ["all"], lambda seconds: None)
    assert done.caches == 0
    assert done.failures == {"127.0.0.1": "its answer is none of a cache of airq"}


@contextmanager
def listener() -> Iterator[socket.socket]:
    """A socket to which anybody can connect."""
    with socket.create_server(("127.0.0.1", 0)) as made:
        made.settimeout(10)
        yield made


def test_what_speaks_no_http_is_reported_and_not_raised() -> None:
    def speak() -> None:
        for _ in range(TRIES):
            connection, _ = made.accept()
            with connection:
                connection.recv(10_000)
                connection.sendall(b"220 mail.example.org ESMTP\r\n")

    with listener() as made:
        thread = threading.Thread(target=speak)
        thread.start()
        caches = Caches(f"http://127.0.0.1:{made.getsockname()[1]}/", "x")
        done = purge(caches, ["all"], lambda seconds: None)
        thread.join()
    assert done.caches == 0
    assert "220 mail.example.org" in done.failures["127.0.0.1"]


def test_a_cache_that_hangs_is_reported_and_not_waited_for_without_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(purging, "TIMEOUT_SECONDS", 0.05)
    pauses: list[float] = []
    with listener() as silent:
        done = purge(Caches(f"http://127.0.0.1:{silent.getsockname()[1]}/", "x"), ["all"], pauses.append)
    assert (done.caches, done.failures) == (0, {"127.0.0.1": "timed out"})
    assert len(pauses) == TRIES - 1


@pytest.mark.parametrize("name", ["no-such-cache.invalid", "no..cache", f"{'long' * 16}.cache"])
def test_a_name_that_nobody_has_is_reported(name: str) -> None:
    done = purge(Caches(f"http://{name}:8081/", "x"), ["all"])
    assert "resolved" in done.failures[name]


@pytest.fixture
def two_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    """The name `cache` has two addresses."""
    really = socket.getaddrinfo

    def resolve(host: str, port: int, *rest: object, **options: object) -> object:
        if host != "cache":
            return really(host, port, *rest, **options)  # type: ignore[arg-type]
        return [(2, 1, 6, "", (address, port)) for address in ("127.0.0.1", "127.0.0.2")]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)


@pytest.mark.usefixtures("two_addresses")
def test_every_address_behind_a_name_is_purged() -> None:
    with listening(Cache()) as first, listening(Cache(port=first.port), "127.0.0.2") as second:
        done = purge(Caches(f"http://cache:{first.port}/", "x"), ["all"])
    assert (done.caches, done.answers) == (2, 4)
    assert len(first.asked) == len(second.asked) == 1


@pytest.mark.usefixtures("two_addresses")
def test_a_cache_that_hangs_keeps_no_other_from_hearing_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(purging, "TIMEOUT_SECONDS", 0.5)
    heard: list[int] = []
    with listener() as silent:
        with listening(Cache(port=silent.getsockname()[1]), "127.0.0.2") as other:
            caches = Caches(f"http://cache:{other.port}/", "x")
            done = purge(caches, ["all"], lambda seconds: heard.append(len(other.asked)))
    assert (done.caches, done.failures) == (1, {"127.0.0.1": "timed out"})
    assert heard[0] == 1
