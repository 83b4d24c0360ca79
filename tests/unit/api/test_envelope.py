"""What every request passes through, without a server around it."""

import asyncio
from typing import Any

import pytest
from starlette.types import Message, Receive, Scope, Send

from airq.api.envelope import LARGEST_HEADERS, LONGEST_TARGET, Envelope, served
from airq.api.problems import KINDS, Problem, of_exception
from airq.store.connections import DatabaseUnavailable, SchemaUnusable, SessionExpired, StatementTimeout
from airq.store.pool import TooBusy
from airq.telemetry.events import Event, RequestFailed, RequestFinished, Telemetry


class Exchange:
    """Sends one request through an envelope and keeps what came of it."""

    def __init__(self, app: Any, **scope: Any) -> None:
        self.events: list[Event] = []
        self.lost: list[str] = []
        self.sent: list[Message] = []
        self.raised: Exception | None = None
        ticks = iter((1.0, 3.5))
        envelope = Envelope(app, Telemetry(self.events.append), self.lost.append, lambda: next(ticks))
        request = {
            "type": "http",
            "method": "GET",
            "path": "/x",
            "raw_path": b"/x",
            "query_string": b"",
            "headers": [],
        }

        async def send(message: Message) -> None:
            self.sent.append(message)

        async def receive() -> Message:
            return {"type": "http.request"}

        try:
            asyncio.run(envelope(request | scope, receive, send))
        except Exception as error:
            self.raised = error
        self.running = envelope.running

    @property
    def headers(self) -> dict[str, str]:
        return {name.decode(): value.decode() for name, value in self.sent[0]["headers"]}

    @property
    def finished(self) -> RequestFinished:
        [event] = [event for event in self.events if isinstance(event, RequestFinished)]
        return event


async def hello(scope: Scope, receive: Receive, send: Send) -> None:
    served(scope).route, served(scope).rows = "/x", 3
    await send({"type": "http.response.start", "status": 200, "headers": [(b"a", b"b")]})
    await send({"type": "http.response.body", "body": b"he", "more_body": True})
    await send({"type": "http.response.body", "body": b"llo"})


def test_a_request_is_one_event_with_its_duration_rows_and_size() -> None:
    exchange = Exchange(hello, query_string=b"a=%C3%A9")
    event = exchange.finished
    assert exchange.events == [event]
    assert (event.method, event.route, event.target, event.status) == ("GET", "/x", "/x?a=é", 200)
    assert (event.duration_seconds, event.rows, event.size) == (2.5, 3, 5)
    assert event.request_id == exchange.headers["x-request-id"]
    assert exchange.running == 0


def test_every_answer_has_the_same_headers_in_front_of_all() -> None:
    headers = Exchange(hello, headers=[(b"x-request-id", b"mine")]).headers
    assert headers["a"] == "b"
    assert headers["x-request-id"] == "mine"
    assert headers["access-control-allow-origin"] == "*"
    assert headers["x-content-type-options"] == "nosniff"


def failing(error: Exception, *, begun: bool = False) -> Any:
    """Return an application that raises, perhaps in the middle of its answer."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if begun:
            await send({"type": "http.response.start", "status": 200, "headers": []})
        raise error

    return app


@pytest.mark.parametrize(
    ("error", "kind", "lost", "failed"),
    [
        (Problem("not-found", "There is nothing."), "not-found", 0, 0),
        (DatabaseUnavailable("it is gone"), "database-unavailable", 1, 0),
        (StatementTimeout("too slow"), "query-too-slow", 0, 0),
        (SchemaUnusable("too old"), "schema-too-old", 0, 0),
        (SessionExpired("waited"), "export-stalled", 0, 0),
        (TooBusy("all in use"), "too-busy", 0, 0),
        (ZeroDivisionError("secret"), "internal-error", 0, 1),
    ],
)
def test_every_fault_is_answered_with_its_problem(
    error: Exception, kind: str, lost: int, failed: int
) -> None:
    exchange = Exchange(failing(error))
    assert exchange.raised is None
    assert exchange.sent[0]["status"] == KINDS[kind][0] == exchange.finished.status
    assert exchange.headers["content-type"] == "application/problem+json"
    assert exchange.headers["cache-control"] == "no-store"
    assert ("retry-after" in exchange.headers) == (KINDS[kind][0] == 503)
    assert exchange.finished.error == kind
    assert len(exchange.lost) == lost
    assert len([event for event in exchange.events if isinstance(event, RequestFailed)]) == failed
    assert b"secret" not in exchange.sent[1]["body"]


def test_a_fault_in_the_middle_of_an_answer_goes_on_to_the_server() -> None:
    exchange = Exchange(failing(DatabaseUnavailable("it is gone"), begun=True))
    assert isinstance(exchange.raised, DatabaseUnavailable)
    assert len(exchange.sent) == 1
    assert (exchange.finished.status, exchange.finished.error) == (200, "database-unavailable")
    assert exchange.lost == ["it is gone"]
    assert exchange.running == 0


def test_the_limits_hold_to_the_byte() -> None:
    path = b"/" + b"a" * (LONGEST_TARGET - 1)
    assert Exchange(hello, raw_path=path).sent[0]["status"] == 200
    assert Exchange(hello, raw_path=path + b"a").finished.error == "uri-too-long"
    assert Exchange(hello, raw_path=path, query_string=b"a").sent[0]["status"] == 414
    header = (b"x", b"a" * (LARGEST_HEADERS - 1))
    assert Exchange(hello, headers=[header]).sent[0]["status"] == 200
    assert Exchange(hello, headers=[header, (b"y", b"")]).sent[0]["status"] == 431


def test_head_sends_no_body_and_counts_none() -> None:
    exchange = Exchange(failing(Problem("not-found", "There is nothing.")), method="HEAD")
    assert exchange.sent[1]["body"] == b""
    assert int(exchange.headers["content-length"]) > 0
    assert Exchange(hello, method="HEAD").finished.size == 0


def test_methods_that_clients_make_up_share_one_name() -> None:
    assert Exchange(hello, method="BREW").finished.method == "other"


def test_targets_are_logged_up_to_a_length() -> None:
    assert len(Exchange(hello, path="/" + "a" * 5000).finished.target) == 1000


def test_every_kind_of_problem_has_an_error_status_and_a_title() -> None:
    for kind, (status, title) in KINDS.items():
        assert 400 <= status < 600
        assert title
        assert of_exception(Problem(kind, "x.")).status == status
