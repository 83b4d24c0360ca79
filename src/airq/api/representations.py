"""Measurements → bytes: JSON, CSV and NDJSON."""

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import msgspec

from airq.api.problems import Problem
from airq.domain.instants import format_instant
from airq.domain.measurements import Columns
from airq.domain.pollutants import POLLUTANTS
from airq.domain.queries import Format, Query

MEDIA_TYPES: dict[Format, str] = {
    "json": "application/json",
    "csv": "text/csv; charset=utf-8; header=present",
    "ndjson": "application/x-ndjson",
}
_ACCEPTED: dict[str, Format] = {
    "application/json": "json",
    "text/csv": "csv",
    "application/x-ndjson": "ndjson",
    "application/ndjson": "ndjson",
    "application/jsonl": "ndjson",
}
_WEIGHT = re.compile(r"[01](\.[0-9]{0,3})?")
_UNITS = {pollutant.name: pollutant.unit for pollutant in POLLUTANTS}
_NEEDS_QUOTES = re.compile(r'[",\r\n]|^\s|\s$')

_encoder = msgspec.json.Encoder()
encode_json = _encoder.encode


def negotiate(accept: str, offered: Sequence[Format]) -> Format:
    """Choose a format by an Accept header (RFC 9110, 12.5.1); the first offered one without.

    Raises:
        Problem: none of the offered ones is acceptable.
    """
    weights: dict[str, float] = {}
    for item in accept.split(","):
        media, *options = (part.strip().lower() for part in item.split(";"))
        if not media:
            continue
        weight = next((option[2:] for option in options if option.startswith("q=")), "1")
        weights[media] = float(weight) if _WEIGHT.fullmatch(weight) else 0.0
    if not weights:
        return offered[0]

    def weigh(form: Format) -> float:
        names = [name for name, known in _ACCEPTED.items() if known == form]
        exact = [weights[name] for name in names if name in weights]
        general = [f"{names[0].partition('/')[0]}/*", "*/*"]
        return max(exact) if exact else next((weights[g] for g in general if g in weights), 0.0)

    best = max(offered, key=weigh)
    if weigh(best) <= 0:
        allowed = [MEDIA_TYPES[form].partition(";")[0] for form in offered]
        raise Problem(
            "not-acceptable",
            f"The Accept header asks for “{accept[:200]}”; offered are {', '.join(allowed)}.",
            {"allowed": allowed},
        )
    return best


@lru_cache(maxsize=64)
def _row_type(pollutants: tuple[str, ...]) -> type[msgspec.Struct]:
    values = [(name, float | None) for name in pollutants]
    return msgspec.defstruct("Row", [("timestamp", str), ("station", str), *values], gc=False)


def _structs(rows: Columns, pollutants: tuple[str, ...]) -> list[msgspec.Struct]:
    # Built without a line of Python for each row, which would cost as much as all else.
    return list(map(_row_type(pollutants), map(format_instant, rows.times), rows.stations, *rows.values))


def render_page(query: Query, rows: Columns, links: dict[str, str | None], limit: int | None) -> bytes:
    """Return a page as JSON: its data, their units, and where it and its neighbor are found."""
    meta: dict[str, Any] = {
        "units": {name: _UNITS[name] for name in query.pollutants},
        "count": len(rows),
    }
    if limit is not None:
        meta["limit"] = limit
    return encode_json({"data": _structs(rows, query.pollutants), "meta": meta, "links": links})


def render_rows(form: Format, rows: Columns, pollutants: tuple[str, ...]) -> bytes:
    """Return rows as the middle of a CSV or NDJSON text."""
    if form == "ndjson":
        return _encoder.encode_lines(_structs(rows, pollutants))
    if not rows.times:
        return b""
    # The JSON encoder in C writes a double in the fewest digits that read back as the same one, which
    # is what CSV needs too; only its null is an empty cell there.
    values = encode_json(list(zip(*rows.values, strict=True))).decode()[2:-2].replace("null", "").split("],[")
    lines = [
        f"{format_instant(time)},{_csv_text(station)},{cells}\r\n"
        for time, station, cells in zip(rows.times, rows.stations, values, strict=True)
    ]
    return "".join(lines).encode()


def render_head(form: Format, pollutants: tuple[str, ...]) -> bytes:
    """Return what comes before the rows: CSV's header line."""
    return f"timestamp,station,{','.join(pollutants)}\r\n".encode() if form == "csv" else b""


@lru_cache(maxsize=4096)
def _csv_text(text: str) -> str:
    if _NEEDS_QUOTES.search(text):
        return '"' + text.replace('"', '""') + '"'
    return text
