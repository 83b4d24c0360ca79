"""The table of contents that tells whether two databases hold the same."""

import asyncio
import json
import math
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from airq.store.verification import Digest, digests
from tests.conftest import Airq, Database
from tests.integration.publishing import Publisher, row

ROWS = tuple(
    row(f"2016-{month}-{day:02d} 0{hour}:00:00.00{hour}", station, day / 7, None if day % 3 else hour * 1.1)
    for month in (10, 11) for day in range(1, 8) for hour in range(5) for station in ("b", "a", "ü")
)  # fmt: skip


@pytest.fixture
def make_publisher(make_database: Callable[[], Database], tmp_path: Path) -> Callable[[], Publisher]:
    return lambda: Publisher(make_database(), tmp_path)


def table(publisher: Publisher, by_station: bool = False) -> list[Digest]:
    return asyncio.run(digests(publisher.database.reader, by_station))


def test_databases_filled_in_another_order_and_in_other_parts_are_equal(
    make_publisher: Callable[[], Publisher],
) -> None:
    once, slowly = make_publisher(), make_publisher()
    once.load(*ROWS)
    shuffled = random.Random(3).sample(ROWS, len(ROWS))
    # Other station and load numbers, values that were wrong at first, and a load that was taken back.
    slowly.load(row("2016-12-01 00:00:00", "z", 1))
    slowly.load(*(line.replace(",0.", ",7.") for line in shuffled[:50]))
    slowly.undo(1)
    for start in range(0, len(shuffled), 40):
        slowly.load(*shuffled[start : start + 40])
    assert table(once) == table(slowly)
    assert table(once, by_station=True) == table(slowly, by_station=True)


def test_there_is_a_row_for_each_month_or_each_station_and_month(
    make_publisher: Callable[[], Publisher],
) -> None:
    publisher = make_publisher()
    assert table(publisher) == []
    publisher.load(*ROWS)
    assert [(one.month, one.station, one.measurements) for one in table(publisher)] == [
        ("2016-10", None, 105), ("2016-11", None, 105)
    ]  # fmt: skip
    found = [(one.month, one.station, one.measurements) for one in table(publisher, by_station=True)]
    assert found == [(month, station, 35) for month in ("2016-10", "2016-11") for station in ("a", "b", "ü")]


CHANGES = {
    "a value by its last bit": f"UPDATE airq.measurement SET so2 = {math.nextafter(1 / 7, 1)!r}",
    "a value to null": "UPDATE airq.measurement SET so2 = NULL",
    "a value to another column": "UPDATE airq.measurement SET so2 = no2, no2 = so2",
    "a time by a millisecond": "UPDATE airq.measurement SET time = time + interval '1 ms'",
    "a station": "UPDATE airq.measurement SET station_id = (SELECT id FROM airq.station WHERE name = 'b')",
    "a row gone": "DELETE FROM airq.measurement",
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_the_smallest_change_shows_in_its_month_and_station_and_nowhere_else(
    make_publisher: Callable[[], Publisher], change: str
) -> None:
    publisher = make_publisher()
    publisher.load(*(line for line in ROWS if ",b," not in line or "01 00" not in line))
    before, stations_before = table(publisher), table(publisher, by_station=True)
    publisher.database.execute(
        f"{change} WHERE time = '2016-10-01 00:00:00Z' "
        "AND station_id = (SELECT id FROM airq.station WHERE name = 'a')"
    )
    now, stations_now = table(publisher), table(publisher, by_station=True)
    changed = {(one.month, one.station) for one in {*stations_before} ^ {*stations_now}}
    moved = {("2016-10", "b")} if "station_id =" in change else set()
    assert changed == {("2016-10", "a")} | moved
    assert before[0] != now[0]
    assert before[1] == now[1]


def test_zero_and_negative_zero_are_one_value_here_as_in_the_database(
    make_publisher: Callable[[], Publisher],
) -> None:
    positive, negative = make_publisher(), make_publisher()
    for publisher, zeros in ((positive, ("0.0", "-0.0")), (negative, ("-0.0", "0.0"))):
        for zero in zeros:
            entry = publisher.load(row("2016-10-01 00:00:00", "a", zero))
        # PostgreSQL holds them for equal, so the second one changed nothing.
        assert entry.outcome == "unchanged"
    assert table(positive) == table(negative)


def test_two_equal_errors_do_not_cancel_each_other_out(make_publisher: Callable[[], Publisher]) -> None:
    publisher = make_publisher()
    publisher.load(*ROWS)
    before = table(publisher)
    for station, other in (("a", "b"), ("b", "ü")):
        publisher.database.execute(
            f"UPDATE airq.measurement SET so2 = 9 WHERE time = '2016-10-01 00:00:00Z' AND station_id IN "
            f"(SELECT id FROM airq.station WHERE name IN ('{station}', '{other}'))"
        )
        assert table(publisher)[0] != before[0]


def test_the_command_prints_a_table_or_json(make_publisher: Callable[[], Publisher], airq: Airq) -> None:
    publisher = make_publisher()
    publisher.load(*ROWS)
    expected = table(publisher, by_station=True)
    done = airq("verify", "--stations", "--json", database=publisher.database)
    assert (done.status, done.err) == (0, "")
    assert json.loads(done.out) == [vars(one) for one in expected]
    lines = airq("verify", "--stations", database=publisher.database).out.splitlines()
    assert lines[0].split() == ["month", "station", "measurements", "content"]
    assert [line.split() for line in lines[1:]] == [
        [one.month, one.station, str(one.measurements), one.content] for one in expected
    ]
