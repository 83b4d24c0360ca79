"""The OpenAPI 3.1 document, made of the same tables that the API works by."""

from functools import cache
from typing import Any

from airq import __version__
from airq.api import routes
from airq.api.parameters import Parameter
from airq.api.problems import KINDS, MEDIA_TYPE
from airq.domain.pollutants import POLLUTANTS

TITLE = "airq"
SUMMARY = "Measurements of air quality"
DESCRIPTION = """\
Measurements of air pollutants by station and time.

Every value equals the double-precision number in the source; a missing one is `null`. Times are UTC with
milliseconds. Listings are ordered by time, then station, and continue at `links.next`. Every error is a
problem in the form of RFC 9457 and says what is allowed. Whatever answers to GET answers to HEAD too.
"""


@cache
def document() -> dict[str, Any]:
    """Return the document."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": TITLE,
            "summary": SUMMARY,
            "description": DESCRIPTION,
            "version": __version__,
        },
        "servers": [{"url": "/"}],
        "paths": {
            "/air_quality": _get(
                "listMeasurements",
                "List measurements",
                "Measurements by time and station, filtered, in pages (JSON) or whole (CSV, NDJSON).",
                _listing(),
                parameters=routes.LISTING,
                problems=("unknown-station", "not-acceptable", "upgrade-required"),
                headers=_PAGE_HEADERS | _CSV_HEADERS,
            ),
            "/air_quality/latest": _get(
                "listLatestMeasurements",
                "Each station's newest measurement",
                "One measurement a station, by station.",
                _listing(),
                parameters=routes.LATEST,
                problems=("unknown-station", "not-acceptable"),
                headers=_CSV_HEADERS,
            ),
            "/stations": _get(
                "listStations",
                "List stations",
                "All stations by name, with the span and number of their measurements.",
                _json("Stations"),
                problems=("not-acceptable",),
            ),
            "/stations/{station}": _get(
                "getStation",
                "One station",
                "A station's span and number of measurements.",
                _json("StationAnswer"),
                problems=("unknown-station", "not-acceptable"),
                path_parameter="station",
            ),
            "/pollutants": _get(
                "listPollutants",
                "List pollutants",
                "The pollutants of every measurement and their units.",
                _json("Pollutants"),
                problems=("not-acceptable",),
                database=False,
            ),
            "/livez": _get(
                "isAlive",
                "Liveness",
                "The process lives. Touches nothing else.",
                _json("Status"),
                cached=False,
                database=False,
            ),
            "/readyz": _get(
                "isReady",
                "Readiness",
                "The database answers and its schema serves this version.",
                _json("Status"),
                cached=False,
            ),
            "/openapi.json": _get(
                "describe",
                "All of this for programs",
                "This document.",
                {"application/json": {"schema": {"type": "object"}}},
                cached=False,
                database=False,
                headers=_KEPT_HEADERS,
            ),
            "/docs": _get(
                "explain",
                "All of this for people",
                "The documentation, with a section for each kind of problem.",
                {"text/html": {"schema": {"type": "string"}}},
                cached=False,
                database=False,
                headers=_KEPT_HEADERS,
            ),
            "/": _get(
                "lead",
                "The way to the documentation",
                "Leads to `/docs`.",
                None,
                cached=False,
                database=False,
                headers=_LEADING_HEADERS,
            ),
        },
        "components": {"schemas": _schemas()},
    }


def _get(
    operation: str,
    summary: str,
    description: str,
    content: dict[str, Any] | None,
    *,
    parameters: tuple[Parameter, ...] = (),
    problems: tuple[str, ...] = (),
    path_parameter: str | None = None,
    headers: dict[str, Any] | None = None,
    cached: bool = True,
    database: bool = True,
) -> dict[str, Any]:
    """Return the description of a path.

    Args:
        content: of a good answer, by media type; None where it leads elsewhere.
        headers: that good answers may have besides those that all have.
    """
    listed = [_parameter(parameter) for parameter in parameters]
    if path_parameter:
        listed.append(
            {
                "name": path_parameter,
                "in": "path",
                "required": True,
                "description": "A station's name.",
                "schema": {"type": "string", "minLength": 1},
                "example": "aq_salvia",
            }
        )
    kept = _HEADERS | (_CACHE_HEADERS if cached else {})
    good = kept | (headers or {})
    responses: dict[str, Any] = {}
    if content is None:
        responses["302"] = {"description": "What was asked for is elsewhere.", "headers": good}
    else:
        responses["200"] = {"description": "What was asked for.", "content": content, "headers": good}
    if cached:
        responses["304"] = {
            "description": "What the client has is current (If-None-Match).",
            "headers": kept,
        }
    kinds = [*_ANYWHERE, *problems, *(("database-unavailable",) if database else ())]
    for kind in kinds:
        status, title = KINDS[kind]
        responses[str(status)] = {
            "description": _SHARED.get(status, title),
            "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
            "headers": _HEADERS | (_RETRY_HEADER if status in (429, 503) else {}),
        }
    return {
        "get": {
            "operationId": operation,
            "summary": summary,
            "description": description,
            "parameters": listed,
            "responses": dict(sorted(responses.items())),
        }
    }


_ANYWHERE = (
    "bad-request",
    "uri-too-long",
    "headers-too-large",
    "too-many-requests",
    "internal-error",
    "api-unavailable",
)
"""Problems that any request may be answered with."""

_SHARED = {400: "The request can't be understood", 503: "Not at the moment"}
"""What statuses mean that problems of several kinds have."""


def _header(description: str, schema: str = "string", *, required: bool = True) -> dict[str, Any]:
    return {"description": description, "required": required, "schema": {"type": schema}}


_HEADERS = {
    "X-Request-ID": _header("The request's number in the logs; the one sent, if it is well-formed."),
}
_KEPT_HEADERS = {"Cache-Control": _header("How long the answer may be kept.")}
_CACHE_HEADERS = {
    "ETag": _header("Names this version of the answer; send it as If-None-Match to ask if there is another."),
    **_KEPT_HEADERS,
    "Cache-Tag": _header("What a cache may drop the answer by."),
}
_PAGE_HEADERS = {"Link": _header('The next page (rel="next"), if there is one.', required=False)}
_CSV_HEADERS = {"Content-Disposition": _header("With CSV: a file name.", required=False)}
_LEADING_HEADERS = {"Location": _header("Where it is.")}
_RETRY_HEADER = {"Retry-After": _header("Seconds after which to try again.", "integer")}


def _parameter(parameter: Parameter) -> dict[str, Any]:
    schema = dict(parameter.schema)
    described: dict[str, Any] = {
        "name": parameter.name,
        "in": "query",
        "description": parameter.description,
        "schema": schema,
    }
    if parameter.repeatable:
        most = {"maxItems": parameter.most} if parameter.most else {}
        described["schema"] = {"type": "array", "items": schema, "minItems": 1, **most}
        described |= {"style": "form", "explode": True, "example": [parameter.example]}
    else:
        described["example"] = parameter.example
    return described


def _json(schema: str) -> dict[str, Any]:
    return {"application/json": {"schema": {"$ref": f"#/components/schemas/{schema}"}}}


def _listing() -> dict[str, Any]:
    text = {"schema": {"type": "string"}}
    return _json("Measurements") | {"text/csv": text, "application/x-ndjson": text}


def _object(required: dict[str, Any], optional: dict[str, Any] | None = None) -> dict[str, Any]:
    return {
        "type": "object",
        "required": list(required),
        "properties": required | (optional or {}),
    }


def _schemas() -> dict[str, Any]:
    time = {"type": "string", "format": "date-time", "example": "2016-10-01T00:00:00.004Z"}
    optional_time = {"type": ["string", "null"], "format": "date-time"}
    link = {"type": "string", "format": "uri-reference"}
    text, count = {"type": "string"}, {"type": "integer", "minimum": 0}
    values = {
        pollutant.name: {
            "type": ["number", "null"],
            "description": f"{pollutant.label} ({pollutant.formula}) in {pollutant.unit}",
        }
        for pollutant in POLLUTANTS
    }
    station = _object(
        {
            "station": text,
            "measurements": count,
            "first": optional_time,
            "last": optional_time,
            "links": _object({"self": link, "air_quality": link}),
        }
    )
    return {
        "Measurement": _object({"timestamp": time, "station": text}, values),
        "Measurements": _object(
            {
                "data": {"type": "array", "items": {"$ref": "#/components/schemas/Measurement"}},
                "meta": _object(
                    {
                        "units": {"type": "object", "additionalProperties": text},
                        "count": count,
                    },
                    {"limit": count},
                ),
                "links": _object({"self": link, "next": {"type": ["string", "null"]}}),
            }
        ),
        "Station": station,
        "Stations": _object(
            {
                "data": {"type": "array", "items": {"$ref": "#/components/schemas/Station"}},
                "meta": _object({"count": count}),
                "links": _object({"self": link}),
            }
        ),
        "StationAnswer": _object(
            {"data": {"$ref": "#/components/schemas/Station"}, "links": _object({"self": link})}
        ),
        "Pollutants": _object(
            {
                "data": {
                    "type": "array",
                    "items": _object({"pollutant": text, "formula": text, "label": text, "unit": text}),
                },
                "meta": _object({"count": count}),
                "links": _object({"self": link}),
            }
        ),
        "Status": _object({"status": text, "version": text}),
        "Problem": _object(
            {
                "type": {"enum": [f"/docs#{kind}" for kind in KINDS]},
                "title": text,
                "status": count,
                "detail": text,
                "request_id": text,
            },
            {
                "parameter": text,
                "value": text,
                "allowed": {"type": ["string", "array"], "items": text},
            },
        ),
    }
