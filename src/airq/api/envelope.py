"""What every request passes through: limits, a request id, CORS, one event at its end."""

import re
import time
import traceback
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import unquote

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from airq.api.problems import MEDIA_TYPE, Problem, of_exception
from airq.store.connections import DatabaseUnavailable
from airq.telemetry.events import RequestFailed, RequestFinished, Telemetry

LONGEST_TARGET = 8 * 1024
"""Bytes of path and query, as most proxies allow."""

LARGEST_HEADERS = 32 * 1024
"""Bytes of all request headers together."""

EXPOSED_HEADERS = "ETag, Link, X-Request-ID, X-Cache, Age, Retry-After, Content-Disposition"
_EVERYWHERE = (
    # Sent to everybody, not only where an Origin asks: a shared cache keeps one answer.
    (b"access-control-allow-origin", b"*"),
    (b"access-control-expose-headers", EXPOSED_HEADERS.encode()),
    (b"x-content-type-options", b"nosniff"),
)
_CLOSING = ((b"connection", b"close"),)
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")


@dataclass
class Served:
    """What a handler tells of its answer beside the answer, for logs and metrics."""

    route: str = "unmatched"
    rows: int = 0
    error: str | None = None


def served(scope: Scope) -> Served:
    """Return where a handler notes what it serves."""
    noted: Served = scope["state"]["served"]
    return noted


@dataclass
class Envelope:
    """The outermost ASGI application.

    Args:
        app: what answers requests within the limits.
        telemetry: hears of each request.
        on_unavailable: called with the reason when a request found the database unavailable.
        clock: a monotonic clock in seconds.
    """

    app: ASGIApp
    telemetry: Telemetry
    on_unavailable: Callable[[str], None]
    clock: Callable[[], float] = time.perf_counter
    running: int = 0
    """Requests that are being answered."""
    closing: bool = False
    """Set when the process was asked to stop: each answer is then the last one of its connection, so that
    who sends requests goes to another process before this one closes its port."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started = self.clock()
        noted = Served()
        scope.setdefault("state", {})["served"] = noted
        headers = Headers(scope=scope)
        given_id = headers.get("x-request-id", "")
        request_id = given_id if _REQUEST_ID.fullmatch(given_id) else uuid.uuid4().hex
        scope["state"]["request_id"] = request_id
        status, size = 0, 0

        async def send_counted(message: Message) -> None:
            nonlocal status, size
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [
                    *message["headers"],
                    (b"x-request-id", request_id.encode()),
                    *_EVERYWHERE,
                    *(_CLOSING if self.closing else ()),
                ]
            else:
                size += len(message.get("body", b""))
            await send(message)

        target = scope["path"]
        if scope["query_string"]:
            target += "?" + unquote(scope["query_string"].decode("latin-1"), errors="replace")
        self.running += 1
        try:
            problem = _exceeded(scope)
            if problem is not None:
                await send_problem(problem, scope, send_counted)
            else:
                await self.app(scope, receive, send_counted)
        except Exception as error:
            problem = of_exception(error)
            noted.error = problem.kind
            if isinstance(error, DatabaseUnavailable):
                self.on_unavailable(str(error))
            if problem.kind == "internal-error":
                self.telemetry.emit(
                    RequestFailed(
                        method=scope["method"],
                        route=noted.route,
                        target=target[:1000],
                        request_id=request_id,
                        traceback="".join(traceback.format_exception(error)),
                    )
                )
            if status:
                # The answer has begun: only a broken connection tells that it is not complete.
                raise
            await send_problem(problem, scope, send_counted)
        finally:
            self.running -= 1
            if scope["method"] == "HEAD":
                # The server leaves the body away.
                noted.rows, size = 0, 0
            self.telemetry.emit(
                RequestFinished(
                    method=scope["method"] if scope["method"] in _METHODS else "other",
                    route=noted.route,
                    target=target[:1000],
                    status=status,
                    duration_seconds=round(self.clock() - started, 6),
                    rows=noted.rows,
                    size=size,
                    request_id=request_id,
                    error=noted.error,
                )
            )


_METHODS = ("GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE")


def _exceeded(scope: Scope) -> Problem | None:
    length = len(scope.get("raw_path") or scope["path"].encode()) + len(scope["query_string"])
    if length > LONGEST_TARGET:
        return Problem(
            "uri-too-long",
            f"Path and query have {length} bytes; {LONGEST_TARGET} are served. "
            "Ask for fewer stations at a time.",
        )
    length = sum(len(name) + len(value) for name, value in scope["headers"])
    if length > LARGEST_HEADERS:
        return Problem(
            "headers-too-large",
            f"The request's headers have {length} bytes; {LARGEST_HEADERS} are served.",
        )
    return None


async def send_problem(problem: Problem, scope: Scope, send: Send) -> None:
    """Answer with a problem."""
    body = problem.body(scope["state"]["request_id"])
    served(scope).error = problem.kind
    headers = {
        "content-type": MEDIA_TYPE,
        "content-length": str(len(body)),
        "cache-control": "no-store",
        **problem.headers,
    }
    await send(
        {
            "type": "http.response.start",
            "status": problem.status,
            "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
        }
    )
    await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})
