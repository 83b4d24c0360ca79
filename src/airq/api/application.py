"""The API as one ASGI application."""

from collections.abc import Awaitable, Callable
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from airq.api import documentation, routes
from airq.api.envelope import Envelope, served
from airq.api.problems import MEDIA_TYPE, Problem, of_exception
from airq.api.routes import Service
from airq.store.connections import DatabaseUnavailable, StatementTimeout

SMALLEST_COMPRESSED = 1_000
"""Bytes below which compressing costs more than it saves."""

COMPRESSION_LEVEL = 6

ROUTES: dict[str, routes.Handler] = {
    "/air_quality": routes.air_quality,
    "/air_quality/latest": routes.latest,
    "/stations": routes.stations,
    "/stations/{station:path}": routes.station,
    "/pollutants": routes.pollutants,
    "/livez": routes.livez,
    "/readyz": routes.readyz,
    "/openapi.json": documentation.openapi,
    "/docs": documentation.page,
    "/": routes.root,
}
ALLOWED = "GET, HEAD, OPTIONS"


def make_application(service: Service) -> Envelope:
    """Return the API, outermost layer first."""
    inner = Starlette(
        routes=[
            Route(path, _routed(path, handler), methods=["GET", "OPTIONS"])
            for path, handler in ROUTES.items()
        ],
        middleware=[
            Middleware(GZipMiddleware, minimum_size=SMALLEST_COMPRESSED, compresslevel=COMPRESSION_LEVEL)
        ],
        exception_handlers={
            HTTPException: _answer_http,
            Problem: _answer,
            DatabaseUnavailable: _answer,
            StatementTimeout: _answer,
        },
    )
    inner.router.redirect_slashes = False
    inner.state.service = service
    return Envelope(inner, service.telemetry)


def _routed(path: str, handler: routes.Handler) -> Callable[[Request], Awaitable[Response]]:
    template = path.replace(":path", "")

    async def answer(request: Request) -> Response:
        served(request.scope).route = template
        if request.method == "OPTIONS":
            return Response(status_code=204, headers=_OPTIONS)
        return await handler(request)

    return answer


_OPTIONS = {
    "allow": ALLOWED,
    "access-control-allow-methods": ALLOWED,
    "access-control-allow-headers": "Accept, If-None-Match, X-Request-ID",
    "access-control-max-age": "86400",
    "cache-control": "no-store",
}


async def _answer(request: Request, error: Exception) -> Response:
    if isinstance(error, DatabaseUnavailable):
        service: Service = request.app.state.service
        service.database_failed(str(error))
    problem = of_exception(error)
    served(request.scope).error = problem.kind
    return Response(
        problem.body(request.scope["state"]["request_id"]),
        problem.status,
        {"content-type": MEDIA_TYPE, "cache-control": "no-store", **problem.headers},
    )


async def _answer_http(request: Request, error: Any) -> Response:
    path = request.url.path
    if error.status_code == 405:
        detail = f"{request.method} is not served here; allowed are {ALLOWED}."
        problem = Problem("method-not-allowed", detail, {"allowed": ALLOWED.split(", ")}, {"allow": ALLOWED})
    elif error.status_code == 404:
        known = [route for route in ROUTES if route.rstrip("/") == path.rstrip("/")]
        hint = f"; did you mean {known[0]}" if known else "; /docs shows what there is"
        problem = Problem("not-found", f"There is nothing at {path[:200]}{hint}.")
    else:
        problem = Problem("bad-request", str(error.detail))
    return await _answer(request, problem)
