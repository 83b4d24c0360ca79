"""Query parameters: one table says what each is, reads it, and documents it."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any
from urllib.parse import parse_qsl

from airq.api.problems import Problem
from airq.domain.instants import UnreadableInstant, format_instant, parse_instant
from airq.domain.pollutants import NAMES, find_pollutant
from airq.domain.queries import DEFAULT_LIMIT, LARGEST_LIMIT

_TRACKING = re.compile(
    r"utm_\w+|gclid|gclsrc|dclid|gbraid|wbraid|fbclid|msclkid|yclid|twclid|ttclid|igshid|mc_cid|mc_eid|_ga"
)
"""Parameters that advertising adds to links; they mean nothing here and are passed over."""

# A plus in a query stands for a space; in a time's offset it was meant as itself.
_LOST_PLUS = re.compile(r"(?<=\d\d:\d\d)(\S*) (?=\d\d(:?\d\d)?$)")

MOST_STATIONS = 200
_LONGEST_VALUE_SHOWN = 200


class Unreadable(ValueError):
    """A value is not allowed; the message says what is."""


@dataclass(frozen=True)
class Parameter:
    """A query parameter.

    Args:
        name: as it stands in the query.
        read: its text → its value; raises `Unreadable`.
        allowed: in words, for problems and documentation.
        description: for the documentation.
        schema: JSON Schema of its text.
        example: for the documentation.
        repeatable: may stand there more than once.
        most: how often, where that is limited.
    """

    name: str
    read: Callable[[str], Any]
    allowed: str
    description: str
    schema: Mapping[str, Any]
    example: object
    repeatable: bool = False
    most: int | None = None


def _read_station(text: str) -> str:
    if not text:
        raise Unreadable
    return text


def _read_pollutant(text: str) -> str:
    pollutant = find_pollutant(text)
    if pollutant is None:
        raise Unreadable
    return pollutant.name


# Who draws the newest hours asks with the same times again.
@lru_cache(maxsize=4096)
def _read_instant(text: str, *, ends_range: bool = False) -> int:
    try:
        return parse_instant(_LOST_PLUS.sub(r"\1+", text), date_alone=True, ends_range=ends_range)
    except UnreadableInstant as error:
        raise Unreadable(str(error)) from None


def _read_limit(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,9}", text) or not 1 <= int(text) <= LARGEST_LIMIT:
        raise Unreadable
    return int(text)


def _one_of(*names: str) -> Callable[[str], str]:
    def read(text: str) -> str:
        if text not in names:
            raise Unreadable
        return text

    return read


_INSTANT_ALLOWED = (
    "a time as in 2016-10-01T00:00:00Z or 2016-10-01T02:00:00+02:00 (the plus written as %2B), "
    "or a date as in 2016-10-01, which means its midnight in UTC"
)

_INSTANT_SCHEMA = {"type": "string", "anyOf": [{"format": "date-time"}, {"format": "date"}]}

STATION = Parameter(
    "station", _read_station, "a name that /stations lists",
    f"Only measurements of this station. Repeat it for several, up to {MOST_STATIONS}.",
    {"type": "string", "minLength": 1}, "aq_salvia", repeatable=True, most=MOST_STATIONS,
)  # fmt: skip
POLLUTANT = Parameter(
    "pollutant", _read_pollutant, "one of " + ", ".join(NAMES),
    "Only this pollutant's values. Repeat it for several.",
    {"type": "string", "enum": list(NAMES)}, "no2", repeatable=True,
)  # fmt: skip
FROM = Parameter(
    "from", _read_instant, _INSTANT_ALLOWED, "Only measurements at this time or later.",
    _INSTANT_SCHEMA, "2016-10-01T00:00:00Z",
)  # fmt: skip
TO = Parameter(
    "to", partial(_read_instant, ends_range=True), _INSTANT_ALLOWED, "Only measurements before this time.",
    _INSTANT_SCHEMA, "2016-10-02T00:00:00Z",
)  # fmt: skip
ORDER = Parameter(
    "order", _one_of("asc", "desc"), "asc or desc",
    "By time and then station, ascending or descending.",
    {"type": "string", "enum": ["asc", "desc"], "default": "asc"}, "desc",
)  # fmt: skip
LIMIT = Parameter(
    "limit", _read_limit, f"a whole number from 1 to {LARGEST_LIMIT:,}".replace(",", ""),
    f"The most measurements of an answer. JSON has {DEFAULT_LIMIT} if it is left out, CSV and NDJSON all.",
    {"type": "integer", "minimum": 1, "maximum": LARGEST_LIMIT}, 100,
)  # fmt: skip
CURSOR = Parameter(
    "cursor", str, "what links.next of an answer to the same filters has",
    "Continue behind an earlier answer; take it from `links.next`.",
    {"type": "string"}, "Ac8GQKYAAAFXf3QABGFxX3NhbHZpYQ",
)  # fmt: skip
FORMAT = Parameter(
    "format", _one_of("json", "csv", "ndjson"), "json, csv or ndjson",
    "The format of the answer; it goes before the Accept header.",
    {"type": "string", "enum": ["json", "csv", "ndjson"]}, "csv",
)  # fmt: skip


def read_parameters(query: bytes, known: Sequence[Parameter]) -> dict[str, list[Any]]:
    """Read a query string.

    Returns:
        Name → values in the order of the query, for the parameters that stand there.

    Raises:
        Problem: a parameter is unknown, has a value that is not allowed, or stands there twice.
    """
    by_name = {parameter.name: parameter for parameter in known}
    try:
        pairs = parse_qsl(query.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=1000)
    except UnicodeError:
        raise Problem(
            "bad-request", "The query is not percent-encoded UTF-8, as in station=aq_%C3%A9vora."
        ) from None
    except ValueError:
        raise Problem("bad-request", "The query has more than 1000 parameters.") from None
    values: dict[str, list[Any]] = {}
    for name, text in pairs:
        if _TRACKING.fullmatch(name):
            continue
        parameter = by_name.get(name)
        if parameter is None:
            allowed = list(by_name)
            raise Problem(
                "unknown-parameter",
                (f"{_shown(name)} is no parameter here; " if name else "A parameter has no name; ")
                + (f"allowed are {', '.join(allowed)}." if allowed else "there is none."),
                {"parameter": _shown(name), "value": _shown(text), "allowed": allowed},
            )
        if name in values and not parameter.repeatable:
            raise Problem(
                "repeated-parameter",
                f"{name} stands there more than once; give it once.",
                {"parameter": name, "value": _shown(text)},
            )
        try:
            values.setdefault(name, []).append(parameter.read(text))
        except Unreadable as error:
            raise invalid(parameter, text, str(error)) from None
    return values


def invalid(parameter: Parameter, text: str, reason: str = "") -> Problem:
    """Return the problem of a value that is not allowed."""
    found = f"“{_shown(text)}”" if text else "empty"
    return Problem(
        "invalid-parameter",
        f"{parameter.name} is {found}{f' ({reason})' if reason else ''}; it must be {parameter.allowed}.",
        {"parameter": parameter.name, "value": _shown(text), "allowed": parameter.allowed},
    )


def check_range(start: int | None, end: int | None) -> None:
    """Refuse a range that ends before it starts.

    Raises:
        Problem: `to` is not later than `from`.
    """
    if start is not None and end is not None and end <= start:
        raise Problem(
            "invalid-parameter",
            f"to ({format_instant(end)}) must be later than from ({format_instant(start)}).",
            {"parameter": "to", "value": format_instant(end), "allowed": "a time after from"},
        )


def _shown(text: str) -> str:
    return text if len(text) <= _LONGEST_VALUE_SHOWN else text[: _LONGEST_VALUE_SHOWN - 1] + "…"
