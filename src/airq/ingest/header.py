"""The first line of a file: its separator, and which column is what."""

import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass

from airq.domain.errors import UnusableInput
from airq.domain.pollutants import (
    NAMES,
    POLLUTANTS,
    Pollutant,
    find_pollutant,
    find_unit,
    normalize,
    split_unit,
)
from airq.domain.printing import visible

SEPARATORS = (",", ";", "\t")

# In the order of preference: where a file has several of these columns, the first of these names is
# taken, and the others are columns without use.
TIME_SPELLINGS = tuple(
    f"{spelling}{zone}"
    for spelling in (
        "timeinstant", "timestamp", "datetime", "dateobserved", "observedat", "measuredat",
        "instant", "time", "date",
    )
    for zone in ("utc", "")
)  # fmt: skip
STATION_SPELLINGS = (
    "identity", "entityid", "entity", "station", "stationid", "idstation", "stationcode",
    "stationname", "site", "siteid", "sitename", "sensorid", "sensor", "locationid", "location", "id",
)  # fmt: skip

_BRACKETS = re.compile(r"[(\[{]([^()\[\]{}]*)[)\]}]")


@dataclass(frozen=True)
class Header:
    """Where a file keeps what.

    Args:
        separator: the character between fields.
        names: every column's name as the file spells it.
        time, station: the index of these columns.
        time_is_utc: the time column's name says so.
        pollutants: pollutant name → index of its column, in the canonical order.
        extra: names of the columns that airq has no use for.
    """

    separator: str
    names: tuple[str, ...]
    time: int
    station: int
    time_is_utc: bool
    pollutants: dict[str, int]
    extra: tuple[str, ...]


def parse_header(line: str) -> Header:
    """Read a header line.

    Args:
        line: the first line of a file that is not blank, without its end of line.

    Raises:
        UnusableInput: a needed column is missing or stands there twice; the message says which
            columns were found and which names would do.
    """
    if line.endswith("\r") and "\r" not in line.rstrip("\r"):
        raise UnusableInput(
            "its lines end with CR CR LF, as if ends were converted twice; save it with CRLF or LF"
        )
    if "\r" in line:
        raise UnusableInput("its lines end with CR alone; save it with LF or CRLF line ends")
    separator, names = _split(line)
    spellings = [_spelling(name) for name in names]
    time = _first(TIME_SPELLINGS, spellings, names)
    station = _first(_station_spellings(spellings), spellings, names)
    pollutants = _find_pollutants(names, spellings)
    if time is None or station is None or not pollutants:
        found = excerpt(", ".join(name or "(no name)" for name in names))
        needed = {
            "no time column (TimeInstant, Timestamp, DateTime or Time)": time is not None,
            "no station column (id_entity, station, station_id or site)": station is not None,
            f"no pollutant column (at least one of {', '.join(NAMES)})": bool(pollutants),
        }
        missing = [fault for fault, there in needed.items() if not there]
        faults = _long_form(names) or [*missing, *_hints(names, spellings, bool(pollutants))]
        raise UnusableInput("; ".join([*faults, f"columns found: {found}"]))
    used = {time, station, *pollutants.values()}
    # A trailing separator gives nameless columns; several networks' exports have them.
    extra = tuple(name for place, name in enumerate(names) if name and place not in used)
    is_utc = spellings[time].endswith("utc")
    return Header(separator, names, time, station, is_utc, pollutants, extra)


def _split(line: str) -> tuple[str, tuple[str, ...]]:
    """Return the separator that gives the most columns with a meaning, and the columns' names."""
    readings = []
    for separator in SEPARATORS:
        if separator in line:
            try:
                [fields] = csv.reader([line], delimiter=separator, strict=True)
            except csv.Error:
                continue
            names = tuple(name.strip() for name in fields)
            known = sum(_has_meaning(name) for name in names)
            readings.append((known, len(names), separator, names))
    if readings:
        _, _, separator, names = max(readings)
        return separator, names
    if any(separator in line for separator in SEPARATORS):
        raise UnusableInput(f"its first line has an unfinished quote: {excerpt(line)}")
    raise UnusableInput(
        f"its first line has neither comma, semicolon nor tab: {excerpt(line)}; "
        "it must name the columns, as in TimeInstant,id_entity,so2,no2"
    )


def _spelling(name: str) -> str:
    return normalize(_BRACKETS.sub(r"\1", name))


def _has_meaning(name: str) -> bool:
    spelling = _spelling(name)
    return spelling in TIME_SPELLINGS or spelling in STATION_SPELLINGS or _find_pollutant(name) is not None


def _station_spellings(spellings: Sequence[str]) -> tuple[str, ...]:
    """Return the names of the station's column, the preferred ones first."""
    if not {"type", "dateobserved"} & set(spellings):
        return STATION_SPELLINGS
    # An entity of FIWARE's data models is known by its id, and its location is a geometry.
    return (*(spelling for spelling in STATION_SPELLINGS if spelling != "location"), "location")


def _first(known: Sequence[str], spellings: Sequence[str], names: Sequence[str]) -> int | None:
    """Return the column with the most preferred of some names."""
    for spelling in known:
        if spelling in spellings:
            return _only([p for p, found in enumerate(spellings) if found == spelling], names)
    return None


def _only(places: Sequence[int], names: Sequence[str]) -> int:
    """Return the one place; it is a fault if there are several."""
    if len(places) > 1:
        same = " and ".join(f"column {place + 1} “{names[place]}”" for place in places)
        raise UnusableInput(f"{same} mean the same; take out or rename all but one of them")
    return places[0]


def _find_pollutants(names: Sequence[str], spellings: Sequence[str]) -> dict[str, int]:
    places: dict[str, list[int]] = {name: [] for name in NAMES}
    foreign: dict[str, tuple[int, str]] = {}
    for place, name in enumerate(names):
        found = _find_pollutant(name)
        if found is None:
            continue
        pollutant, unit = found
        if unit in (None, pollutant.unit):
            places[pollutant.name].append(place)
        else:
            foreign[pollutant.name] = place, unit
    # sensor.community's files call particulate matter P1 and P2, whichever the type of the sensor.
    if {"sensorid", "sensortype"} <= set(spellings) and not (places["pm10"] or places["pm2_5"]):
        for spelling, pollutant_name in (("p1", "pm10"), ("p2", "pm2_5")):
            places[pollutant_name] = [p for p, found in enumerate(spellings) if found == spelling]
    for pollutant in POLLUTANTS:
        if pollutant.name in foreign and not places[pollutant.name]:
            place, unit = foreign[pollutant.name]
            raise UnusableInput(
                f"column {place + 1} “{names[place]}” is in {unit}, and airq keeps {pollutant.formula} "
                f"in {pollutant.unit}; convert its values and rename it, or take it out"
            )
    return {name: _only(found, names) for name, found in places.items() if found}


def _find_pollutant(name: str) -> tuple[Pollutant, str | None] | None:
    """Return what a column measures and the unit that its name tells, if any."""
    base, unit = split_unit(_BRACKETS.sub("", name).strip())
    pollutant = find_pollutant(base)
    if pollutant is None:
        return None
    for note in _BRACKETS.findall(name):
        unit = find_unit(note) or unit
        # UCI's files have (GT) for "ground truth"; any other note may mean another quantity.
        if not (find_unit(note) or find_pollutant(note) is pollutant or normalize(note) == "gt"):
            return None
    return pollutant, unit


_SPLIT_TIMES = (("date", "time"), ("date", "hour"), ("fecha", "hora"))
_LONG_FORM_VALUES = ("value", "attrvalue", "samplemeasurement", "concentration", "valor")
_LONG_FORM_POLLUTANTS = (
    "parameter", "parametername", "pollutant", "pollutantname", "attrname", "magnitud", "contaminante",
)  # fmt: skip
_HOUR = re.compile(r"(?:h|hr|hour|hora)?(\d\d?)(?::00|h)?", re.ASCII)
_MANY_HOURS = 20


def _long_form(names: Sequence[str]) -> list[str]:
    """Return what is wrong with a file whose rows hold many times, or one pollutant's value."""
    if any(_find_pollutant(name) for name in names):
        return []
    needed = f"a row must have a time, a station, and a column for each pollutant ({', '.join(NAMES)})"
    hours = [name for name in names if (hour := _HOUR.fullmatch(normalize(name))) and int(hour[1]) <= 24]
    if len(set(hours)) >= _MANY_HOURS:
        return [f"it has a column for each hour (“{hours[0]}” to “{hours[-1]}”); {needed}"]
    values = [name for name in names if normalize(name) in _LONG_FORM_VALUES]
    if not values:
        return []
    pollutants = [name for name in names if normalize(name) in _LONG_FORM_POLLUTANTS]
    whose = f" of the pollutant in “{pollutants[0]}”" if pollutants else ""
    return [f"it has one value a row, in “{values[0]}”{whose}; {needed}"]


def _hints(names: Sequence[str], spellings: Sequence[str], has_pollutants: bool) -> list[str]:
    """Return which columns would do if they were written otherwise."""
    hints = []
    for day, hour in _SPLIT_TIMES:
        if day in spellings and hour in spellings:
            first, second = (names[spellings.index(part)] for part in (day, hour))
            hints.append(f"“{first}” and “{second}” must be one column, as in 2016-10-01 18:00:00")
    if not has_pollutants:
        for name in names:
            pollutant = find_pollutant(_BRACKETS.sub("", name))
            if pollutant:
                hints.append(
                    f"what “{name}” means is not clear; if it is {pollutant.formula} "
                    f"in {pollutant.unit}, name it {pollutant.name}"
                )
    return hints


def excerpt(text: str, most: int = 200) -> str:
    """Return the beginning of a text that may be long and hold what can't be printed."""
    text = visible(text[: most + 1])
    return text if len(text) <= most else text[:most] + "…"
