"""Walking along `links.next` gives a listing exactly once, whatever was asked for."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from airq.store.measurements import MANY_MONTHS
from tests.conftest import Database
from tests.integration.api import listing
from tests.integration.api.conftest import Serve, load
from tests.integration.api.listing import POLLUTANTS, STATIONS, Row
from tests.integration.api.process import Api
from tests.integration.sessions import session

MOST_REQUESTS = 40
"""Pages of one walk, so that many walks are made instead of long ones."""

quick = settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    # The fixtures are of the session and change nothing between examples.
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


def walk(api: Api, target: str | None) -> list[list[dict[str, Any]]]:
    """Return all pages from a target on."""
    pages: list[list[dict[str, Any]]] = []
    while target is not None:
        answer = api.get(target)
        assert answer.status == 200, answer.body
        page = answer.json()
        assert page["links"]["self"] == target or not pages
        link = answer.headers["link"]
        target = page["links"]["next"]
        assert link == (f'<{target}>; rel="next"' if target else None)
        pages.append(page["data"])
        assert len(pages) < 500, "the walk has no end"
    return pages


def moments() -> st.SearchStrategy[datetime]:
    """Times at which there are rows, one millisecond beside them, and others."""
    known = sorted({row.at for row in listing.hand_made()})
    beside = st.sampled_from([timedelta(), timedelta(milliseconds=1), timedelta(milliseconds=-1)])
    return st.builds(lambda at, by: at + by, st.sampled_from(known), beside)


@st.composite
def queries(draw: st.DrawFn) -> dict[str, Any]:
    """A query's filters, in a way that the model takes too."""
    start, end = draw(st.none() | moments()), draw(st.none() | moments())
    if start is not None and end is not None and end <= start:
        start, end = end, start + timedelta(milliseconds=1)
    return {
        "stations": draw(st.lists(st.sampled_from(STATIONS), unique=True, max_size=6)),
        "start": start,
        "end": end,
        "descending": draw(st.booleans()),
    }


def target_of(query: dict[str, Any], **more: object) -> str:
    """Return a query's path and parameters."""
    parameters = [("station", name) for name in query["stations"]]
    parameters += [("from", listing.spelled(query["start"]))] if query["start"] else []
    parameters += [("to", listing.spelled(query["end"]))] if query["end"] else []
    parameters += [("order", "desc")] if query["descending"] else []
    return "/air_quality?" + urlencode([*parameters, *more.items()], doseq=True)


@quick
@given(query=queries(), limit=st.sampled_from([1, 2, 3, 7, 16, 50]), pollutant=st.sampled_from(POLLUTANTS))
def test_a_walk_gives_each_row_once_and_in_order(
    api: Api, rows: list[Row], query: dict[str, Any], limit: int, pollutant: str
) -> None:
    expected = [row.shown((pollutant,)) for row in listing.select(rows, **query)]
    limit = max(limit, len(expected) // MOST_REQUESTS)
    pages = walk(api, target_of(query, limit=limit, pollutant=pollutant))
    assert [row for page in pages for row in page] == expected
    # Only the last page may be short, and it is empty only if there is nothing at all.
    assert all(len(page) == limit for page in pages[:-1])
    assert len(pages) == max(1, -(-len(expected) // limit))


@quick
@given(
    query=queries(), limits=st.lists(st.sampled_from([1, 2, 5, 9]), min_size=1, max_size=4), data=st.data()
)
def test_a_walk_may_change_its_limit_pollutants_and_format(
    api: Api, rows: list[Row], query: dict[str, Any], limits: list[int], data: st.DataObject
) -> None:
    expected = listing.select(rows, **query)
    at, cursor = 0, None
    for limit in limits:
        names = data.draw(st.lists(st.sampled_from(POLLUTANTS), min_size=1, unique=True))
        more: dict[str, object] = {"cursor": cursor} if cursor else {}
        page = api.get(target_of(query, limit=limit, pollutant=names, **more)).json()
        assert page["data"] == [row.shown(names) for row in expected[at : at + limit]]
        at += limit
        if page["links"]["next"] is None:
            assert at >= len(expected)
            return
        cursor = page["links"]["next"].partition("cursor=")[2].partition("&")[0]
    rest = api.get(target_of(query, cursor=cursor, format="ndjson")).body.splitlines()
    assert [json.loads(line) for line in rest] == [row.shown() for row in expected[at:]]


def test_the_walks_go_through_more_months_than_are_read_at_once(rows: list[Row]) -> None:
    assert len({(row.at.year, row.at.month) for row in rows}) > MANY_MONTHS


@pytest.mark.parametrize(
    ("filters", "month"),
    [
        ("limit=5", "2024_07"),
        ("limit=5&order=desc", "1999_12"),
        # Of the month in which the range begins, all measurements may be outside of it.
        ("limit=5&from=2016-02-29T12:00:00.001Z", "2024_07"),
        ("limit=5&order=desc&to=2024-07-01", "1999_12"),
        ("limit=5&from=2000-01-01&to=2024-01-01", "2020_04"),
        ("limit=1&station=Zulu&station=%C3%BF", "2024_07"),
        ("limit=30&format=csv", "2024_07"),
    ],
)
def test_a_page_touches_no_month_far_behind_it(
    api: Api, small_database: Database, filters: str, month: str
) -> None:
    target = f"/air_quality?{filters}"
    with session(small_database, f"LOCK TABLE airq.measurement_{month} IN ACCESS EXCLUSIVE MODE"):
        for _ in range(3):
            answer = api.get(target)
            assert answer.status == 200, answer.body
            target = answer.headers["link"].partition("<")[2].partition(">")[0]


def cursor_of(api: Api, target: str = "/air_quality?limit=5") -> str:
    """Return the cursor behind the first page of a listing."""
    cursor: str = api.get(target).json()["links"]["next"].partition("cursor=")[2].partition("&")[0]
    return cursor


@pytest.mark.parametrize(
    "filters",
    ["station=Zulu", "from=2016-01-01", "to=2017-01-01", "order=desc", "station=Zulu&station=%C3%BF"],
)
def test_a_cursor_of_other_filters_is_told_from_a_broken_one(api: Api, filters: str) -> None:
    answer = api.get(f"/air_quality?{filters}&cursor={cursor_of(api)}")
    assert (answer.status, answer.kind) == (400, "foreign-cursor")
    assert answer.json()["parameter"] == "cursor"
    assert "links.next" in answer.json()["detail"]


@settings(quick, max_examples=150)
@given(data=st.data())
def test_a_broken_cursor_is_the_clients_fault_and_never_ours(api: Api, data: st.DataObject) -> None:
    cursor = cursor_of(api)
    place = data.draw(st.integers(0, len(cursor) - 1))
    replacement = data.draw(st.text(st.characters(codec="utf-8"), max_size=3))
    broken = data.draw(
        st.sampled_from([cursor[:place] + replacement + cursor[place + 1 :], cursor[place:], cursor * 2])
        | st.text(max_size=40)
        | st.binary(max_size=40).map(bytes.hex)
    )
    answer = api.get("/air_quality?" + urlencode({"cursor": broken, "limit": 1}))
    if answer.status != 200:
        assert (answer.status, answer.kind) in (
            (400, "invalid-parameter"),
            (400, "foreign-cursor"),
        ), broken


def test_a_link_that_could_not_be_followed_is_not_given(
    serve: Serve, database: Database, tmp_path: Path
) -> None:
    at = datetime(2020, 1, 1, tzinfo=UTC)
    stations = [f"{number:02d}{'(' * 78}" for number in range(100)]
    file = tmp_path / "long.csv"
    listing.write_csv([Row(at, station, (1.0,) * 6) for station in stations], file)
    load(database, file)
    with serve(database) as api:
        # Parentheses may stand in a query as they are, and take three bytes each in a canonical link.
        query = "&".join(f"station={station}" for station in stations[:90])
        for options, target in (
            ("", "this answer"), ("&limit=10", "the next page"), ("&limit=10&format=csv", "the next page")
        ):  # fmt: skip
            answer = api.get(f"/air_quality?{query}{options}")
            assert (answer.status, answer.kind) == (414, "uri-too-long")
            assert answer.json()["detail"].startswith(f"The link to {target} would have ")
            assert "fewer stations" in answer.json()["detail"]
        # Where no link is given, none is missing.
        assert api.get(f"/air_quality?{query}&format=csv&limit=90").body.count(b"\r\n") == 91
        # What is short enough to be served, written as in a link, is so with its link to itself.
        query = "&".join(f"station={station.replace('(', '%28')}" for station in stations[:33])
        assert 8192 - 100 < len(f"/air_quality{query}") <= 8192
        assert api.get(f"/air_quality?{query}").status == 200


def test_stations_that_came_since_are_not_missed_behind_a_cursor(
    serve: Serve, database: Database, tmp_path: Path
) -> None:
    at = datetime(2020, 1, 1, tzinfo=UTC)

    def publish(names: str) -> None:
        path = tmp_path / f"{names}.csv"
        listing.write_csv([Row(at, name, (1.0,) * 6) for name in names], path)
        load(database, path)

    def names_from(target: str) -> str:
        return "".join(row["station"] for page in walk(api, target) for row in page)

    publish("bd")
    with serve(database) as api:
        onwards = api.get("/air_quality?limit=1").json()["links"]["next"]
        publish("ace")
        assert names_from(onwards) == "cde"
        backwards = api.get("/air_quality?limit=1&order=desc").json()["links"]["next"]
        publish("BDFf")
        assert names_from(backwards) == "dcbaFDB"
