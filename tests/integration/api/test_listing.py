"""What the answers hold: every measurement as it was loaded, in order, with units and links."""

import re
from pathlib import Path
from urllib.parse import quote, urlencode

import pytest

from tests.integration.api import listing
from tests.integration.api.listing import POLLUTANTS, STATIONS, UNITS, Row
from tests.integration.api.process import Api

TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


def test_the_real_file_is_delivered_row_by_row(api: Api, real_csv: Path) -> None:
    expected = listing.read_csv(real_csv)
    answer = api.get("/air_quality?from=2016-10-01&to=2016-10-03").json()
    assert answer["meta"]["count"] == len(expected) == 960
    assert answer["data"] == [row.shown() for row in expected]
    assert answer["links"]["next"] is None


def test_every_value_time_and_name_is_as_it_was_loaded(api: Api, rows: list[Row]) -> None:
    answer = api.get("/air_quality?limit=10000").json()
    assert answer["data"] == [row.shown() for row in rows]
    assert list(answer["data"][0]) == ["timestamp", "station", *POLLUTANTS]
    assert all(TIME.fullmatch(row["timestamp"]) for row in answer["data"])
    assert any(None in row.values() for row in answer["data"])


def test_descending_order_is_the_exact_reverse(api: Api, rows: list[Row]) -> None:
    assert api.rows("/air_quality?order=desc&limit=10000") == [row.shown() for row in reversed(rows)]


def test_an_answer_tells_units_count_and_limit(api: Api, rows: list[Row]) -> None:
    answer = api.get("/air_quality").json()
    assert list(answer) == ["data", "meta", "links"]
    assert answer["meta"] == {"units": UNITS, "count": min(len(rows), 1000), "limit": 1000}
    answer = api.get("/air_quality?limit=3").json()
    assert answer["meta"] == {"units": UNITS, "count": 3, "limit": 3}
    assert len(answer["data"]) == 3


def test_only_the_asked_pollutants_are_shown_in_their_one_order(api: Api, rows: list[Row]) -> None:
    answer = api.get("/air_quality?pollutant=pm2_5&pollutant=so2&limit=10000").json()
    assert answer["data"] == [row.shown(("so2", "pm2_5")) for row in rows]
    assert list(answer["data"][0]) == ["timestamp", "station", "so2", "pm2_5"]
    assert answer["meta"]["units"] == {"so2": "µg/m³", "pm2_5": "µg/m³"}


@pytest.mark.parametrize("station", STATIONS)
def test_a_station_is_found_by_its_name_whatever_it_holds(api: Api, rows: list[Row], station: str) -> None:
    expected = [row.shown() for row in rows if row.station == station]
    assert api.rows(f"/air_quality?{urlencode({'station': station})}") == expected
    assert api.rows(f"/air_quality?station={quote(station, safe='')}") == expected


@pytest.mark.parametrize(
    ("start", "end"),
    [
        ("2015-12-31T23:59:59.999Z", "2016-01-01"),
        ("2016-01-01", "2016-01-01T00:00:00.001Z"),
        ("2016-01-01T00:00:00.001Z", "2016-01-01T00:00:00.0015Z"),
        ("2015-12-31T23:59:59.999Z", "2016-01-01T00:00:00.001Z"),
        ("2016-01-01T00:00:00.0009Z", "2016-01-01T00:00:00.001Z"),
    ],
)
def test_a_range_takes_its_start_and_leaves_its_end_out(
    api: Api, rows: list[Row], start: str, end: str
) -> None:
    # Digits finer than milliseconds are cut off.
    first, behind = (listing.read_time(text) for text in (start, end))
    if first == behind:
        assert api.get(f"/air_quality?from={start}&to={end}").kind == "invalid-parameter"
        return
    expected = [row.shown() for row in listing.select(rows, start=first, end=behind)]
    assert expected
    assert api.rows(f"/air_quality?from={start}&to={end}") == expected


SPELLINGS = {
    "/air_quality": [
        "/air_quality?", "/air_quality?&&", "/air_quality?limit=1000", "/air_quality?format=json",
        "/air_quality?order=asc", "/air_quality?utm_source=x&gclid=1&fbclid=2&utm_whatever=3",
        "/air_quality?" + "&".join(f"pollutant={name}" for name in reversed(POLLUTANTS)),
        "/air_quality?limit=01000",
    ],
    "/air_quality?station=%C3%A9vora&station=%C3%BF": [
        "/air_quality?station=%c3%bf&station=%c3%a9vora", "/air_quality?station=%C3%BF&station=%C3%A9vora",
        "/air_quality?%73tation=%c3%bf&station=%C3%A9vo%72a",
    ],
    "/air_quality?station=aq%20plain": ["/air_quality?station=aq+plain", "/air_quality?station=%61q%20plain"],
    "/air_quality?from=2016-03-01T00:00:00.000Z&to=2016-03-01T00:05:00.000Z&order=desc&limit=7": [
        "/air_quality?limit=7&order=desc&to=2016-03-01T00:05:00Z&from=2016-03-01",
        "/air_quality?from=2016-03-01T02:00:00%2B02:00&to=2016-03-01T00:05Z&limit=7&order=desc",
        "/air_quality?from=2016-03-01T02:00:00+02:00&to=2016-03-01T00:05:00.0&limit=7&order=desc",
        "/air_quality?from=2016-02-29T19:00:00-05:00&to=2016-03-01%2000:05:00&limit=007&order=desc",
        "/air_quality?from=2016-02-29T24:00:00Z&to=2016/03/01T00:05:00+00:00&limit=7&order=desc",
    ],
    "/air_quality?pollutant=no2&pollutant=pm2_5": [
        "/air_quality?pollutant=PM2.5&pollutant=no2", "/air_quality?pollutant=pm25&pollutant=NO2",
        "/air_quality?pollutant=nitrogen%20dioxide&pollutant=pm2_5&pollutant=PM2_5",
        "/air_quality?pollutant=PM%E2%82%82.%E2%82%85&pollutant=no2",
    ],
    "/air_quality/latest?station=Zulu": ["/air_quality/latest?format=json&station=Zulu&station=Zulu"],
}  # fmt: skip


@pytest.mark.parametrize(
    ("canonical", "spelling"),
    [(canonical, spelling) for canonical, spellings in SPELLINGS.items() for spelling in spellings],
)
def test_links_are_the_same_for_every_spelling_of_a_query(api: Api, canonical: str, spelling: str) -> None:
    expected = api.get(canonical)
    assert expected.json()["links"]["self"] == canonical
    answer = api.get(spelling)
    assert answer.json() == expected.json()
    assert answer.headers["etag"] == expected.headers["etag"]


def test_the_newest_measurement_of_each_station_is_at_latest(api: Api, rows: list[Row]) -> None:
    newest = {row.station: row.shown() for row in rows}
    by_name = [newest[name] for name in sorted(newest, key=str.encode)]
    answer = api.get("/air_quality/latest").json()
    assert answer["data"] == by_name
    assert answer["meta"] == {"units": UNITS, "count": len(newest)}
    assert answer["links"] == {"self": "/air_quality/latest", "next": None}
    some = api.get("/air_quality/latest?station=%C3%BF&station=Zulu&pollutant=o3").json()
    assert some["data"] == [
        {name: newest[station][name] for name in ("timestamp", "station", "o3")} for station in ("Zulu", "ÿ")
    ]


def test_stations_tell_their_span_and_their_links_lead_to_them(api: Api, rows: list[Row]) -> None:
    answer = api.get("/stations").json()
    names = sorted({row.station for row in rows}, key=str.encode)
    assert [station["station"] for station in answer["data"]] == names
    assert answer["meta"] == {"count": len(names)}
    for station in answer["data"]:
        own = [row for row in rows if row.station == station["station"]]
        assert station["measurements"] == len(own)
        assert station["first"] == listing.spelled(own[0].at)
        assert station["last"] == listing.spelled(own[-1].at)
        one = api.get(station["links"]["self"]).json()
        assert one == {"data": station, "links": {"self": station["links"]["self"]}}
        assert len(api.rows(station["links"]["air_quality"])) == len(own)


def test_pollutants_tell_their_units(api: Api) -> None:
    answer = api.get("/pollutants").json()
    assert {pollutant["pollutant"]: pollutant["unit"] for pollutant in answer["data"]} == UNITS
    assert answer["meta"] == {"count": 6}


def test_a_query_without_a_match_is_an_empty_listing(api: Api) -> None:
    answer = api.get("/air_quality?from=1950-01-01&to=1951-01-01")
    assert answer.status == 200
    assert answer.json()["data"] == []
    assert answer.json()["links"]["next"] is None
    assert answer.headers["etag"]
    assert api.get("/air_quality?from=1950-01-01&to=1951-01-01&format=csv").body.count(b"\r\n") == 1
    assert api.get("/air_quality?from=1950-01-01&to=1951-01-01&format=ndjson").body == b""
