"""The API as one ASGI application."""

from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, Router
from starlette.types import Receive, Scope, Send

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
ALLOWED = ("GET", "HEAD", "OPTIONS")


def make_application(service: Service) -> Envelope:
    """Return the API, outermost layer first."""
    endpoints = [Route(path, Endpoint(path, handler, service)) for path, handler in ROUTES.items()]
    router = Router(endpoints, redirect_slashes=False, default=_not_found)
    return Envelope(Compression(router), service.telemetry, service.database_failed)


@dataclass(frozen=True)
class Endpoint:
    """What answers requests for one route: an ASGI application around its handler.

    A function as a Starlette route would be wrapped in layers that handle faults; the envelope alone
    does that here, once for all of them.
    """

    path: str
    handler: routes.Handler
    service: Service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if self._hides_a_slash(scope):
            await _not_found(scope, receive, send)
        served(scope).route = self.path.replace(":path", "")
        method = scope["method"]
        if method not in ALLOWED:
            allowed = ", ".join(ALLOWED)
            raise Problem(
                "method-not-allowed",
                f"{method} is not served here; allowed are {allowed}.",
                {"allowed": list(ALLOWED)},
                {"allow": allowed},
            )
        if method == "OPTIONS":
            response = Response(status_code=204, headers=_OPTIONS)
        else:
            scope["state"]["service"] = self.service
            response = await self.handler(Request(scope, receive, send))
        await response(scope, receive, send)

    def _hides_a_slash(self, scope: Scope) -> bool:
        """Tell whether an encoded slash, which parts no segments, stands where the route has a slash."""
        segments = scope["raw_path"].lower().split(b"/")
        return any(b"%2f" in segment for segment in segments[: self.path.count("/")])


_OPTIONS = {
    "allow": ", ".join(ALLOWED),
    "access-control-allow-methods": ", ".join(ALLOWED),
    "access-control-allow-headers": "Accept, If-None-Match, X-Request-ID",
    "access-control-max-age": "86400",
    "cache-control": "no-store",
}


async def _not_found(scope: Scope, receive: Receive, send: Send) -> None:
    path = scope["path"]
    known = [route for route in ROUTES if route.rstrip("/") == path.rstrip("/")]
    hint = f"did you mean {known[0]}?" if known else "/docs shows what there is."
    asked = scope["raw_path"].decode("ascii", "replace")
    raise Problem("not-found", f"There is nothing at {asked[:200]}; {hint}")
