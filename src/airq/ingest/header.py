"""The first line of a file: its separator, and which column is what."""

import csv
from dataclasses import dataclass

from airq.domain.errors import UnusableInput
from airq.domain.pollutants import NAMES, find_pollutant, normalize

SEPARATORS = {",": "comma", ";": "semicolon", "\t": "tab"}

TIME_SPELLINGS = ("timeinstant", "timestamp", "time", "datetime", "date", "dateobserved", "instant")
STATION_SPELLINGS = (
    "identity", "station", "stationid", "stationname", "entityid", "entity", "idstation",
    "site", "siteid", "location", "sensor", "sensorid", "id",
)  # fmt: skip


@dataclass(frozen=True)
class Header:
    """Where a file keeps what.

    Args:
        separator: the character between fields.
        names: every column's name as the file spells it.
        time, station: the index of these columns.
        pollutants: pollutant name → index of its column, in the canonical order.
        extra: names of the columns that airq has no use for.
    """

    separator: str
    names: tuple[str, ...]
    time: int
    station: int
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
    if "\r" in line:
        raise UnusableInput("the lines end with CR alone; write the file with LF or CRLF line ends")
    separator = max(SEPARATORS, key=line.count)
    if separator not in line:
        raise UnusableInput(
            f"the first line has no {', '.join(SEPARATORS.values())}: {_excerpt(line)}; "
            "the first line must name the columns, as in TimeInstant,id_entity,so2,no2"
        )
    try:
        [fields] = csv.reader([line], delimiter=separator, strict=True)
    except (csv.Error, ValueError):
        raise UnusableInput(f"the header has an unfinished quote: {_excerpt(line)}") from None
    names = tuple(name.strip() for name in fields)
    # A trailing separator gives nameless columns; several networks' exports have them.
    meanings = [_meaning(name) if name else None for name in names]
    found = ", ".join(name or "(no name)" for name in names)

    def the_one(meaning: str, needed: str) -> int:
        places = [place for place, known in enumerate(meanings) if known == meaning]
        if len(places) > 1:
            twice = " and ".join(f"column {place + 1} “{names[place]}”" for place in places)
            raise UnusableInput(f"two columns mean {meaning}: {twice}; keep one of them")
        if not places:
            raise UnusableInput(f"no {needed}; columns found: {_excerpt(found)}")
        return places[0]

    time = the_one("time", "time column (TimeInstant, Timestamp, Time or DateTime)")
    station = the_one("station", "station column (id_entity, station, entity_id or site)")
    pollutants = {
        name: the_one(name, name)
        for name in NAMES
        if name in meanings
    }  # fmt: skip
    if not pollutants:
        raise UnusableInput(
            f"no pollutant column (at least one of {', '.join(NAMES)}); columns found: {_excerpt(found)}"
        )
    extra = tuple(name for name, meaning in zip(names, meanings, strict=True) if name and meaning is None)
    return Header(separator, names, time, station, pollutants, extra)


def _meaning(name: str) -> str | None:
    spelling = normalize(name)
    if spelling in TIME_SPELLINGS:
        return "time"
    if spelling in STATION_SPELLINGS:
        return "station"
    pollutant = find_pollutant(name)
    return pollutant.name if pollutant else None


def _excerpt(text: str, most: int = 200) -> str:
    text = "".join(c if c.isprintable() else "�" for c in text[: most + 1])
    return text if len(text) <= most else text[:most] + "…"
