"""The API as one ASGI application."""

from collections.abc import Awaitable, Callable
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware.exceptions import ExceptionMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from airq.api import documentation, routes
from airq.api.compression import Compression
from airq.api.envelope import Envelope, served
from airq.api.problems import Problem
from airq.api.routes import Service

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
        ]
    )
    inner.router.redirect_slashes = False
    # Starlette's own outermost layer would answer faults as plain text before the envelope hears of them.
    inner.middleware_stack = Compression(ExceptionMiddleware(inner.router, handlers={HTTPException: _refuse}))
    inner.state.service = service
    return Envelope(inner, service.telemetry, service.database_failed)


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


async def _refuse(request: Request, error: Any) -> Response:
    path = request.scope["path"]
    if error.status_code == 405:
        detail = f"{request.method} is not served here; allowed are {ALLOWED}."
        raise Problem("method-not-allowed", detail, {"allowed": ALLOWED.split(", ")}, {"allow": ALLOWED})
    if error.status_code == 404:
        known = [route for route in ROUTES if route.rstrip("/") == path.rstrip("/")]
        hint = f"did you mean {known[0]}?" if known else "/docs shows what there is."
        raise Problem("not-found", f"There is nothing at {path[:200]}; {hint}")
    raise Problem("bad-request", str(error.detail))
