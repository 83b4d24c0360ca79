"""The API's routes: each handler parses, calls the store, renders."""

import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from airq import __version__
from airq.api import caching
from airq.api.envelope import LONGEST_TARGET, served
from airq.api.exports import Export
from airq.api.parameters import (
    CURSOR,
    FORMAT,
    FROM,
    LIMIT,
    MOST_STATIONS,
    ORDER,
    POLLUTANT,
    STATION,
    TO,
    Parameter,
    check_range,
    invalid,
    read_parameters,
)
from airq.api.problems import Problem
from airq.api.representations import (
    MEDIA_TYPES,
    encode_json,
    negotiate,
    render_head,
    render_page,
    render_rows,
)
from airq.domain.instants import format_instant
from airq.domain.pollutants import NAMES, POLLUTANTS
from airq.domain.queries import Cursor, ForeignCursor, Format, Query, TimeRange, default_limit
from airq.domain.stations import Station, UnknownStation
from airq.domain.tags import EVERYTHING
from airq.domain.versions import KnownVersions
from airq.store.measurements import Measurements, Page
from airq.telemetry.events import DatabaseFound, DatabaseLost, Telemetry

LISTING = (STATION, POLLUTANT, FROM, TO, ORDER, LIMIT, CURSOR, FORMAT)
LATEST = (STATION, POLLUTANT, FORMAT)
FORMATS: tuple[Format, ...] = ("json", "csv", "ndjson")
SETTLED_SECONDS = 1.0
LONGEST_LINK = LONGEST_TARGET - 100
"""Bytes; so that a Link header is no longer than the requests that are served."""


@dataclass
class Service:
    """What the handlers work with.

    Args:
        store: where measurements are read.
        telemetry: hears when the database is lost and found.
        cache_control: the Cache-Control of good answers.
    """

    store: Measurements
    telemetry: Telemetry
    cache_control: str
    clock: Callable[[], float] = time.monotonic
    """Seconds since some moment."""
    draining: bool = False
    """Set when the process was asked to stop."""
    _lost_at: float | None = field(default=None, init=False)

    def database_answered(self) -> None:
        """Note that the database works."""
        if self._lost_at is not None:
            elapsed = self.clock() - self._lost_at
            # What answers at once was under way when the database was lost.
            if elapsed > SETTLED_SECONDS:
                self.telemetry.emit(DatabaseFound(round(elapsed, 3)))
                self._lost_at = None

    def database_failed(self, reason: str) -> None:
        """Note that the database does not work."""
        if self._lost_at is None:
            self._lost_at = self.clock()
            self.telemetry.emit(DatabaseLost(reason))


def _service(request: Request) -> Service:
    service: Service = request.scope["state"]["service"]
    return service


Handler = Callable[[Request], Awaitable[Response]]


async def air_quality(request: Request) -> Response:
    """Answer a listing of measurements."""
    service = _service(request)
    query = read_query(request)
    if query.limit is None:
        return await _answer_export(request, service, query)
    path = "/air_quality"
    page = await service.store.page(query, _known(request, path, query.canonical(), query.format))
    service.database_answered()
    return _listing(request, service, path, query, page, query.limit)


async def _answer_export(request: Request, service: Service, query: Query) -> Response:
    # ASGI calls it "1.0", and granian "1".
    if request.scope["http_version"] in ("1.0", "1") and request.method == "GET":
        raise Problem(
            "upgrade-required",
            "Exports are served from HTTP/1.1 on, because HTTP/1.0 can't tell a whole one from a broken one "
            "(nginx: proxy_http_version 1.1). Or ask for pages, with limit.",
            headers={"upgrade": "HTTP/1.1", "connection": "upgrade"},
        )
    path, canonical = "/air_quality", query.canonical()
    known = _known(request, path, canonical, query.format)

    def headers(version: int) -> dict[str, str]:
        cached = _cached(service, path, canonical, query.format, version)
        return cached | {"cache-tag": caching.cache_tags(query)}

    # Asked beside the export, so that a 304 need not wait until one may begin.
    if known and (version := await service.store.version(query)) in known:
        service.database_answered()
        return Response(status_code=304, headers=headers(version))
    return Export(
        service.store,
        query,
        lambda version: headers(version) | _named(query.format),
        service.database_answered,
    )


async def latest(request: Request) -> Response:
    """Answer with each station's newest measurement."""
    service = _service(request)
    values = read_parameters(request.scope["query_string"], LATEST)
    form = _format(request, values, FORMATS)
    query = Query(
        stations=_stations(values),
        pollutants=_pollutants(values),
        limit=default_limit(form),
        format=form,
    )
    path = "/air_quality/latest"
    known = _known(request, path, query.canonical(), query.format)
    page = await service.store.latest(query.stations, query.pollutants, known)
    service.database_answered()
    return _listing(request, service, path, query, page, None)


def _listing(
    request: Request, service: Service, path: str, query: Query, page: Page, limit: int | None
) -> Response:
    """Return a page of measurements in the format that was asked for, or 304 where it holds none.

    Args:
        limit: as the answer shows it; None for listings without one.
    """
    canonical = query.canonical()
    headers = _cached(service, path, canonical, query.format, page.version)
    headers["cache-tag"] = caching.cache_tags(query)
    if page.rows is None:
        return Response(status_code=304, headers=headers)
    links = {"self": _link(path, canonical), "next": None}
    if page.more:
        following = query.behind(page.rows.times[-1], page.rows.stations[-1])
        links["next"] = address = _link(path, following.canonical())
        _check_link(address, "the next page", LONGEST_LINK)
        headers["link"] = f'<{address}>; rel="next"'
    served(request.scope).rows = len(page.rows)
    if query.format == "json":
        _check_link(_link(path, canonical), "this answer", LONGEST_TARGET + len("?"))
        body = render_page(query, page.rows, links, limit)
    else:
        head = render_head(query.format, query.pollutants)
        body = head + render_rows(query.format, page.rows, query.pollutants)
    return Response(body, headers=headers | _named(query.format))


async def stations(request: Request) -> Response:
    """Answer with all stations."""
    service = _service(request)
    _json_alone(request)
    current = await _current(request, service, "/stations")
    if current is not None:
        return current
    version, found = await service.store.stations()
    service.database_answered()
    return _json(
        request,
        service,
        "/stations",
        version,
        {"data": [_station(station) for station in found], "meta": {"count": len(found)}},
    )


async def station(request: Request) -> Response:
    """Answer with one station."""
    service = _service(request)
    _json_alone(request)
    name = request.path_params["station"]
    await service.store.check_stations((name,))
    path = f"/stations/{quote(name, safe='')}"
    current = await _current(request, service, path)
    if current is not None:
        return current
    version, found = await service.store.stations([name])
    service.database_answered()
    if not found:
        raise UnknownStation(name)
    return _json(request, service, path, version, {"data": _station(found[0])})


async def pollutants(request: Request) -> Response:
    """Answer with the pollutants and their units."""
    _json_alone(request)
    data = [{"pollutant": p.name, "formula": p.formula, "label": p.label, "unit": p.unit} for p in POLLUTANTS]
    return _json(request, _service(request), "/pollutants", 0, {"data": data, "meta": {"count": len(data)}})


async def livez(request: Request) -> Response:
    """Answer that the process lives; touches nothing."""
    read_parameters(request.scope["query_string"], ())
    return _status({"status": "alive", "version": __version__})


async def readyz(request: Request) -> Response:
    """Answer whether requests can be served: the database answers, and its schema will do."""
    read_parameters(request.scope["query_string"], ())
    service = _service(request)
    if service.draining:
        raise Problem("draining", "This process is shutting down.", headers={"retry-after": "5"})
    if await service.store.check():
        service.database_answered()
    return _status({"status": "ready", "version": __version__})


async def root(request: Request) -> Response:
    """Lead to the documentation."""
    read_parameters(request.scope["query_string"], ())
    return RedirectResponse("/docs", status_code=302, headers=dict(caching.NOT_STORED))


def read_query(request: Request) -> Query:
    """Return the listing that a request asks for.

    Raises:
        Problem: a parameter is unknown or repeated, has a value that is not allowed, or a cursor that belongs
            to other filters; or the `Accept` header names no format that is offered.
    """
    values = read_parameters(request.scope["query_string"], LISTING)

    def one(parameter: Parameter, default: Any) -> Any:
        return values[parameter.name][0] if parameter.name in values else default

    time_range = TimeRange(one(FROM, None), one(TO, None))
    check_range(time_range.start, time_range.end)
    form = _format(request, values, FORMATS)
    query = Query(
        stations=_stations(values),
        pollutants=_pollutants(values),
        range=time_range,
        order=one(ORDER, "asc"),
        limit=one(LIMIT, default_limit(form)),
        format=form,
    )
    text = one(CURSOR, None)
    if text is None:
        return query
    try:
        return replace(query, cursor=Cursor.decode(text, query.filters()))
    except ForeignCursor:
        raise Problem(
            "foreign-cursor",
            "The cursor belongs to a query with other filters. Send it with the same station, from, "
            "to and order that it came with (links.next has them all), or leave it out to begin anew.",
            {"parameter": "cursor", "value": text[:200]},
        ) from None
    except ValueError:
        raise invalid(CURSOR, text) from None


def _stations(values: Mapping[str, list[str]]) -> tuple[str, ...]:
    names = tuple(sorted(set(values.get("station", ()))))
    if len(names) > MOST_STATIONS:
        raise Problem(
            "invalid-parameter",
            f"{len(names)} stations are asked for; {MOST_STATIONS} at a time are served.",
            {"parameter": "station", "allowed": f"at most {MOST_STATIONS} times"},
        )
    return names


def _pollutants(values: Mapping[str, list[str]]) -> tuple[str, ...]:
    asked = values.get("pollutant", NAMES)
    return tuple(name for name in NAMES if name in asked)


def _format(request: Request, values: Mapping[str, list[Any]], offered: tuple[Format, ...]) -> Format:
    if "format" in values:
        form: Format = values["format"][0]
        return form
    return negotiate(_header(request, "accept"), offered)


def _json_alone(request: Request) -> None:
    read_parameters(request.scope["query_string"], ())
    negotiate(_header(request, "accept"), ("json",))


def _known(request: Request, path: str, query: str, form: Format) -> KnownVersions:
    return caching.known_versions(_header(request, "if-none-match"), path, query, form)


def _header(request: Request, name: str) -> str:
    """Return a header that is a list; its lines are one list (RFC 9110, 5.3)."""
    return ", ".join(request.headers.getlist(name))


def _cached(service: Service, path: str, query: str, form: Format, version: int) -> dict[str, str]:
    return {
        "etag": caching.entity_tag(path, query, form, version),
        "cache-control": service.cache_control,
        "vary": "Accept, Accept-Encoding",
    }


def _named(form: Format) -> dict[str, str]:
    headers = {"content-type": MEDIA_TYPES[form]}
    if form == "csv":
        headers["content-disposition"] = 'inline; filename="air_quality.csv"'
    return headers


def _link(path: str, query: str) -> str:
    return f"{path}?{query}" if query else path


def _check_link(link: str, target: str, most: int) -> None:
    """Refuse to give a link that is too long to be served, as one can be where the request encoded less."""
    if len(link) > most:
        raise Problem(
            "uri-too-long",
            f"The link to {target} would have {len(link)} bytes; {most} are served. "
            "Ask for fewer stations at a time.",
        )


def _station(station: Station) -> dict[str, Any]:
    name = quote(station.name, safe="")
    return {
        "station": station.name,
        "measurements": station.measurements,
        "first": None if station.first is None else format_instant(station.first),
        "last": None if station.last is None else format_instant(station.last),
        "links": {"self": f"/stations/{name}", "air_quality": f"/air_quality?station={name}"},
    }


async def _current(request: Request, service: Service, path: str) -> Response | None:
    """Return a 304 if the client has the newest of what depends on all data; reads the version alone."""
    known = _known(request, path, "", "json")
    if not known:
        return None
    version = await service.store.version(Query())
    service.database_answered()
    if version not in known:
        return None
    headers = _cached(service, path, "", "json", version)
    return Response(status_code=304, headers=headers | {"cache-tag": EVERYTHING})


def _json(request: Request, service: Service, path: str, version: int, content: dict[str, Any]) -> Response:
    known = _known(request, path, "", "json")
    headers = _cached(service, path, "", "json", version)
    headers["cache-tag"] = EVERYTHING
    if version in known:
        return Response(status_code=304, headers=headers)
    body = encode_json({**content, "links": {"self": path}})
    return Response(body, headers=headers | _named("json"))


def _status(content: dict[str, str]) -> Response:
    return Response(
        encode_json(content),
        headers=dict(caching.NOT_STORED) | {"content-type": "application/json"},
    )
