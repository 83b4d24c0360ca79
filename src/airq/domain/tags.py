"""Cache tags: the names under which answers are kept, and under which a load drops them.

An answer carries tags of what was *asked* for, so that it also falls when a station or month that it asks
for gets its first rows. A load drops, for each station and month that it touched, the pair of both,
the station, the month, and everything that was asked for without such bounds.
"""

from collections.abc import Iterable, Sequence
from datetime import date
from functools import lru_cache
from urllib.parse import quote

EVERYTHING = "all"
"""The tag of answers that no station and no closed range bounds."""

MOST_TAGS, LONGEST_TAGS = 64, 4_000
"""Of an answer, in number and in bytes with their commas; one that asks for more carries coarser ones."""


def station_tag(station: str) -> str:
    """Return the tag of answers about a station at any time; its name is percent-encoded."""
    return f"s:{quote(station, safe='')}"


def month_tag(month: date) -> str:
    """Return the tag of answers about all stations in a month."""
    return f"m:{month:%Y-%m}"


@lru_cache(maxsize=4096)
def pair_tag(station: str, month: date) -> str:
    """Return the tag of answers about a station in a month."""
    return f"{station_tag(station)}/{month:%Y-%m}"


def tags_asked(stations: Sequence[str], months: Sequence[date] | None) -> list[str]:
    """Return the tags of an answer: the finest ones of which a header can hold all.

    Args:
        stations: asked for; empty means all.
        months: that the asked range touches; None for a range with an open end.
    """
    if stations and months is not None and len(stations) * len(months) <= MOST_TAGS:
        pairs = [pair_tag(station, month) for station in stations for month in months]
        if _fit(pairs):
            return pairs
    if stations and len(stations) <= MOST_TAGS:
        names = [station_tag(station) for station in stations]
        if _fit(names):
            return names
    if months is not None and len(months) <= MOST_TAGS:
        return [month_tag(month) for month in months]
    return [EVERYTHING]


def _fit(tags: list[str]) -> bool:
    return sum(map(len, tags)) + len(tags) <= LONGEST_TAGS


def tags_touched(touched: Iterable[tuple[str, date]]) -> list[str]:
    """Return the tags of all answers that show a station in a month that a load touched."""
    pairs = sorted(set(touched))
    if not pairs:
        return []
    stations = sorted({station for station, _ in pairs})
    months = sorted({month for _, month in pairs})
    return [
        EVERYTHING,
        *map(month_tag, months),
        *map(station_tag, stations),
        *(pair_tag(station, month) for station, month in pairs),
    ]
