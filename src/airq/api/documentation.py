"""The OpenAPI document, and a page that shows it to people."""

import base64
import hashlib
import re
from collections.abc import Iterable
from functools import cache
from typing import Any
from urllib.parse import urlencode

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from airq import __version__
from airq.api import routes
from airq.api.guide import MEANINGS, PAGING_SCRIPT, TRIALS, Trial
from airq.api.markup import Markup, block, element, joined, listing, paragraph, prose, section, table
from airq.api.openapi import TITLE, document
from airq.api.parameters import LIMIT, invalid, read_parameters
from airq.api.problems import KINDS
from airq.api.representations import MEDIA_TYPES, encode_json, render_head, render_page, render_rows
from airq.api.stylesheet import STYLESHEET
from airq.domain.measurements import Columns
from airq.domain.pollutants import POLLUTANTS
from airq.domain.queries import DEFAULT_LIMIT, LARGEST_LIMIT, Format, Query

HOST = "http://127.0.0.1:8080"
"""Where examples are sent: the page must not depend on the request, because caches keep it."""

CACHE_CONTROL = "public, max-age=300"
_STYLE = base64.b64encode(hashlib.sha256(STYLESHEET.encode()).digest()).decode()
CONTENT_SECURITY_POLICY = (
    f"default-src 'none'; style-src 'sha256-{_STYLE}'; img-src data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_ICON = (
    "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'%3E"
    "%3Cpath fill='none' stroke='%230a8291' stroke-width='2' stroke-linecap='round' "
    "d='M1 5h8a2.5 2.5 0 1 0-2.5-2.5M1 9h11a2.5 2.5 0 1 1-2.5 2.5M1 13h4'/%3E%3C/svg%3E"
)
_ALLOWED = {parameter.name: parameter.allowed for parameter in (*routes.LISTING, *routes.LATEST)}
_SAMPLE = Columns.of([(1475280000004, "aq_salvia", 6.8, 48.4, 0.657, 48.5, None, 9.14)])


async def openapi(request: Request) -> Response:
    """Answer with the OpenAPI document."""
    read_parameters(request.scope["query_string"], ())
    return Response(
        encode_json(document()),
        headers={"content-type": "application/json", "cache-control": CACHE_CONTROL},
    )


async def page(request: Request) -> Response:
    """Answer with the documentation for people."""
    read_parameters(request.scope["query_string"], ())
    return Response(
        render(),
        headers={
            "content-type": "text/html; charset=utf-8",
            "cache-control": CACHE_CONTROL,
            "content-security-policy": CONTENT_SECURITY_POLICY,
            "referrer-policy": "no-referrer",
        },
    )


@cache
def render() -> bytes:
    """Return the page."""
    info = document()["info"]
    sections = {
        "start": ("Start here", _start()),
        "endpoints": ("Endpoints", _endpoints()),
        "times": ("Times", _times()),
        "formats": ("Formats", _formats()),
        "pages": ("Pages", _pages()),
        "caching": ("Caching", _caching()),
        "units": ("Units", _units()),
        "errors": ("Errors", _errors()),
        "openapi": ("For programs", _programs()),
    }
    contents = listing(*(element("a", title, href=f"#{name}") for name, (title, _) in sections.items()))
    head = element(
        "head",
        Markup('<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'),
        Markup(f'<meta name="color-scheme" content="light dark"><link rel="icon" href="{_ICON}">'),
        element("title", f"{TITLE}: {info['summary'].lower()}"),
        element("style", Markup(STYLESHEET)),
    )
    body = element(
        "body",
        element("a", "Skip to the content", href="#content", class_="skip"),
        element(
            "div",
            element(
                "header", element("h1", TITLE), element("p", prose(_first_paragraph(info["description"])))
            ),
            element(
                "div",
                element("nav", element("h2", "On this page"), contents, aria_label="On this page"),
                element(
                    "main",
                    *(section(2, name, title, content) for name, (title, content) in sections.items()),
                    id="content",
                ),
                class_="columns",
            ),
            element("footer", f"airq {__version__}. This page needs no script and loads nothing."),
            class_="layout",
        ),
    )
    return ("<!doctype html>" + element("html", head, body, lang="en")).encode()


def _first_paragraph(text: str) -> str:
    return text.partition("\n\n")[0]


def _start() -> Markup:
    rest = document()["info"]["description"].split("\n\n")[1:]
    query = Query(limit=1)
    links: dict[str, str | None] = {"self": "/air_quality?limit=1", "next": None}
    answer = render_page(query, _SAMPLE, links, 1)
    return joined(
        *(paragraph(text) for text in rest),
        paragraph("Everything is read with GET, and no key is needed. Ask for the first measurement:"),
        _command("/air_quality?limit=1"),
        paragraph("The answer has the form"),
        block(_laid_out(answer)),
        paragraph(
            "Any web page may read these answers (CORS is open). Each answer carries an `X-Request-ID`, "
            "which finds the request in the service's log; send one of your own (up to 128 letters, "
            "digits, dots, hyphens or underscores) and it is kept."
        ),
    )


def _laid_out(json: bytes) -> str:
    """Return JSON over several lines, an innermost object on one."""
    lines = msgspec.json.format(json, indent=2).decode()
    if lines.count("{") == 1:
        return lines
    return re.sub(r"\{[^{}\[\]]*\}", lambda inner: " ".join(inner[0].split()), lines)


def _command(target: str, options: str = "") -> Markup:
    return block(f"curl {options}'{HOST}{target}'", class_="command")


def _endpoints() -> Markup:
    operations = [(path, verbs["get"]) for path, verbs in document()["paths"].items()]
    index = [(path, operation["operationId"], operation["summary"]) for path, operation in operations]
    items = (
        joined(element("a", element("code", path), href=f"#{name}"), " ", element("span", summary))
        for path, name, summary in index
    )
    return joined(
        listing(*items, class_="index"),
        *(_endpoint(path, operation) for path, operation in operations),
    )


def _endpoint(path: str, operation: dict[str, Any]) -> Markup:
    title = joined(element("span", "GET", class_="method"), " ", element("code", path))
    parts = [
        paragraph(operation["summary"], class_="lead"),
        paragraph(operation["description"]),
    ]
    if operation["parameters"]:
        described = [_parameter(parameter) for parameter in operation["parameters"]]
        parts += [element("h4", "Parameters"), element("dl", *described, class_="parameters")]
    parts.append(element("h4", "Try it"))
    trials = TRIALS.get(path, ())
    if trials:
        parts.append(listing(*(_trial(trial) for trial in trials), class_="trials"))
    parts.append(_command(trials[0].target if trials else _example(path, operation["parameters"])))
    parts.append(_answers(operation["responses"]))
    return section(3, operation["operationId"], title, *parts, class_="endpoint")


def _trial(trial: Trial) -> Markup:
    return joined(
        element("a", element("code", trial.target), href=trial.target), " ", element("span", trial.shows)
    )


def _example(path: str, parameters: list[dict[str, Any]]) -> str:
    """Return a path with its parameters' examples for their names."""
    return path.format_map({one["name"]: one["example"] for one in parameters if one["in"] == "path"})


def _parameter(parameter: dict[str, Any]) -> Markup:
    schema, example = parameter["schema"], parameter.get("example", "")
    repeatable = schema.get("type") == "array"
    if repeatable:
        schema, example = schema["items"], example[0]
    note = "in the path" if parameter["in"] == "path" else "repeatable" if repeatable else ""
    name, default = parameter["name"], schema.get("default")
    details = [
        f"Allowed: {_ALLOWED[name]}." if name in _ALLOWED else "",
        f"Default: {default}." if default else "",
    ]
    shown = example if parameter["in"] == "path" else urlencode({name: example}, safe=":")
    return joined(
        element("dt", element("code", name), *([" ", element("span", note, class_="quiet")] if note else [])),
        element(
            "dd",
            paragraph(parameter["description"]),
            element(
                "p",
                " ".join(filter(None, details)),
                " Example: ",
                element("code", str(shown)),
                class_="quiet",
            ),
        ),
    )


def _answers(responses: Iterable[str]) -> Markup:
    places = {"200": "", "302": "", "304": "caching"}
    shown = []
    for status in responses:
        place = places.get(status, f"status-{status}")
        shown += [element("a", status, href=f"#{place}") if place else status, ", "]
    return element("p", "Answers with ", *shown[:-1], ".", class_="quiet")


def _times() -> Markup:
    return joined(
        paragraph(
            "Times are in UTC, with milliseconds, always in the same width: `2016-10-01T00:00:00.004Z`. "
            "A range holds its first moment and not its last, so that the ranges of neighboring days "
            "share no measurement."
        ),
        paragraph(
            "`from` and `to` take a date (its midnight in UTC), a time in UTC, or a time with an offset. "
            "A plus in a URL stands for a space, so the plus of an offset is written `%2B`: "
            "`from=2016-10-01T02:00:00%2B02:00`."
        ),
    )


def _formats() -> Markup:
    query = Query(limit=None)
    csv = render_head("csv", query.pollutants) + render_rows("csv", _SAMPLE, query.pollutants)
    lines = render_rows("ndjson", _SAMPLE, query.pollutants)
    amounts: dict[Format, str] = {
        "json": "a page",
        "csv": "everything asked for",
        "ndjson": "everything asked for",
    }
    return joined(
        paragraph("Measurements come in three formats, chosen by `format` or by the `Accept` header."),
        table(
            "The formats of measurements",
            ("format", "media type", "without limit"),
            *(
                (element("code", form), element("code", MEDIA_TYPES[form].partition(";")[0]), amount)
                for form, amount in amounts.items()
            ),
        ),
        paragraph("CSV begins with a header line and leaves the cell of a missing value empty:"),
        block(csv.decode().strip()),
        paragraph("NDJSON has one JSON object a line:"),
        block(lines.decode().strip()),
        paragraph(
            "Numbers have as few digits as read back to exactly the same double. Without `limit`, CSV and "
            "NDJSON are written while they are read, all from one state of the data, however many rows "
            "that are. Should such an answer break off, its connection breaks with it, which clients report."
        ),
    )


def _pages() -> Markup:
    return joined(
        paragraph(
            f"A JSON answer has up to {DEFAULT_LIMIT:,} measurements, or up to `limit`, which goes to "
            f"{LARGEST_LIMIT:,}. If more follow, `links.next` is the address of the next page, otherwise it "
            'is `null`; the header `Link: <…>; rel="next"` says the same.'
        ),
        paragraph(
            "Follow it as it is. The cursor in it names a place behind a measurement, not a number of rows: "
            "the last page costs what the first does, and rows that are loaded meanwhile shift nothing."
        ),
        block(PAGING_SCRIPT),
    )


def _caching() -> Markup:
    return joined(
        paragraph(
            "An answer's `ETag` changes when the stations and months that it asks for get new data, and "
            "`Cache-Control` tells how long it may be kept. Send the tag back and an answer that is still "
            "current is a 304 without a body:"
        ),
        _command("/stations", """-i -H 'If-None-Match: W/"…"' """),
        paragraph(
            "All spellings of a query share one tag and one `links.self`. Errors are never stored by a cache."
        ),
    )


def _units() -> Markup:
    return joined(
        paragraph(
            "Each pollutant has one unit, at all stations and times. Answers repeat the units in "
            "`meta.units`, and `/pollutants` lists them."
        ),
        table(
            "The pollutants and their units",
            ("name", "formula", "pollutant", "unit"),
            *((element("code", p.name), p.formula, p.label, p.unit) for p in POLLUTANTS),
        ),
    )


def _errors() -> Markup:
    example = invalid(LIMIT, "0").body("4f1c0d0e9a5b4d3c8f7e6a5b4c3d2e1f")
    return joined(
        paragraph(
            "Every error is a problem in the form of RFC 9457 (`application/problem+json`). Its `type` leads "
            "to a section below, `detail` says what is wrong in your request, and `request_id` finds it in "
            "the service's log."
        ),
        block(_laid_out(example)),
        _problem_table(),
        *(_problem(kind) for kind in KINDS),
    )


def _problem_table() -> Markup:
    by_status: dict[int, list[str]] = {}
    for kind, (status, _) in KINDS.items():
        by_status.setdefault(status, []).append(kind)
    rows = []
    for status, kinds in sorted(by_status.items()):
        links = [element("a", element("code", kind), href=f"#{kind}") for kind in kinds]
        separated = [part for link in links for part in (", ", link)][1:]
        cells = element("th", str(status), scope="row") + element("td", *separated)
        rows.append(element("tr", Markup(cells), id=f"status-{status}"))
    head = element(
        "tr", element("th", "status", scope="col"), element("th", "kinds of problems", scope="col")
    )
    caption = element("caption", "All kinds of problems")
    return element("table", caption, element("thead", head), element("tbody", *rows))


def _problem(kind: str) -> Markup:
    status, title = KINDS[kind]
    meaning = MEANINGS[kind]
    heading = joined(title, " ", element("span", str(status), class_="status"))
    return section(
        3,
        kind,
        heading,
        element("p", element("code", kind), class_="quiet kind"),
        paragraph(meaning.happened),
        element("p", element("strong", "What to do: "), prose(meaning.remedy)),
    )


def _programs() -> Markup:
    return joined(
        paragraph(
            "`/openapi.json` describes all of this in OpenAPI 3.1, for code generators, test tools and "
            "API clients. This page is made of the same tables."
        ),
        _command("/openapi.json"),
    )
