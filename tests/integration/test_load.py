"""What a load does to the contents of a database, and what it says of it."""

import csv
import gzip
import random
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from airq.domain.instants import format_instant, to_milliseconds
from airq.domain.tolerance import Tolerance
from tests.integration.publishing import HEADER, Publisher, Said, row, same_doubles, values, versions

DAY = "2016-10-01 00:00:00.004"
SEEN = "2016-10-01T00:00:00.004Z"


def counts(entry: object) -> tuple[int, ...]:
    """Read, inserted, changed, unchanged, repeated, rejected, missing."""
    names = ("rows_read", "inserted", "changed", "unchanged", "repeated", "rejected", "missing")
    return tuple(getattr(entry, name) for name in names)


def test_the_real_file_is_stored_to_the_last_bit_and_millisecond(
    publisher: Publisher, real_csv: Path
) -> None:
    entry = publisher.load(path=real_csv)
    assert (entry.outcome, counts(entry)) == ("loaded", (960, 960, 0, 0, 0, 0, 0))
    stored = publisher.contents()
    with real_csv.open(newline="") as file:
        header, *rows = csv.reader(file)
    assert ",".join(header) == HEADER
    assert len(rows) == len(stored) == 960
    for time, station, *cells in rows:
        instant = datetime.fromisoformat(time).replace(tzinfo=UTC)
        found = stored[format_instant(to_milliseconds(instant)), station]
        assert same_doubles(found, [float(cell) if cell else None for cell in cells])


def test_the_order_of_rows_and_columns_plays_no_part(publisher: Publisher, many_rows_csv: Path) -> None:
    publisher.load(path=many_rows_csv)
    before = publisher.contents()
    header, *lines = many_rows_csv.read_text().splitlines()
    random.Random(1).shuffle(lines)
    order = [5, 1, 7, 0, 2, 3, 6, 4]
    turned = [",".join(line.split(",")[place] for place in order) for line in (header, *lines)]
    entry = publisher.load(*turned[1:], header=turned[0])
    assert (entry.outcome, counts(entry)) == ("unchanged", (960, 0, 0, 960, 0, 0, 0))
    assert publisher.contents() == before


def test_a_second_load_of_the_same_file_changes_nothing_and_says_so(
    publisher: Publisher, many_rows_csv: Path
) -> None:
    first = publisher.load(path=many_rows_csv)
    before, known = publisher.contents(), versions(publisher.database)
    second = publisher.load(path=many_rows_csv)
    assert (second.outcome, counts(second)) == ("unchanged", (960, 0, 0, 960, 0, 0, 0))
    assert second.sha256 == first.sha256
    assert publisher.contents() == before
    # A cache that kept an answer may go on keeping it.
    assert versions(publisher.database) == known


def test_a_corrected_value_replaces_the_old_one_and_nothing_else(publisher: Publisher) -> None:
    times = [f"2016-10-01 {hour:02d}:00:00" for hour in range(24)]
    publisher.load(*(row(time, "a", 1, 2, 3) for time in times))
    before = publisher.contents()
    known = versions(publisher.database)
    entry = publisher.load(
        *(row(time, "a", 1, 2.5 if number == 7 else 2, 3) for number, time in enumerate(times)),
        row("2016-10-02 00:00:00", "a", 9),
    )
    assert counts(entry) == (25, 1, 1, 23, 0, 0, 0)
    assert publisher.contents() == before | {
        ("2016-10-01T07:00:00.000Z", "a"): values(1.0, 2.5, 3.0),
        ("2016-10-02T00:00:00.000Z", "a"): values(9.0),
    }
    now = versions(publisher.database)
    assert all(now[key] > version for key, version in known.items())


def test_the_smallest_possible_change_of_a_value_is_a_change(publisher: Publisher) -> None:
    publisher.load(row(DAY, "a", "0.1"))
    entry = publisher.load(row(DAY, "a", "0.10000000000000002"))
    assert counts(entry) == (1, 0, 1, 0, 0, 0, 0)
    assert publisher.contents() == {(SEEN, "a"): values(0.10000000000000002)}


def test_an_empty_cell_sets_null_and_a_value_fills_it(publisher: Publisher) -> None:
    publisher.load(row(DAY, "a", 1, 2))
    assert counts(publisher.load(row(DAY, "a", 1, None))) == (1, 0, 1, 0, 0, 0, 0)
    assert publisher.contents() == {(SEEN, "a"): values(1.0)}
    assert counts(publisher.load(row(DAY, "a", 1, None))) == (1, 0, 0, 1, 0, 0, 0)
    assert counts(publisher.load(row(DAY, "a", 1, 2))) == (1, 0, 1, 0, 0, 0, 0)
    assert publisher.contents() == {(SEEN, "a"): values(1.0, 2.0)}


def test_a_column_that_the_file_lacks_leaves_stored_values_alone(publisher: Publisher) -> None:
    publisher.load(row(DAY, "a", 1, 2, 3, 4, 5, 6))
    entry = publisher.load(f"{DAY},a,,44", f"{DAY},b,7,8", header="time,station,pm10,o3")
    assert counts(entry) == (2, 1, 1, 0, 0, 0, 0)
    assert publisher.contents() == {
        (SEEN, "a"): (1.0, 2.0, 3.0, 44.0, None, 6.0),
        (SEEN, "b"): (None, None, None, 8.0, 7.0, None),
    }
    entry = publisher.load(f"{DAY},a,,44", f"{DAY},b,7,8", header="time,station,pm10,o3")
    assert entry.outcome == "unchanged"


def test_months_with_and_without_a_partition_mix_in_one_file(publisher: Publisher) -> None:
    publisher.load(row("2016-10-31 23:59:59.999", "a", 1), row("2016-12-01 00:00:00", "a", 1))
    entry = publisher.load(
        row("2016-11-01 00:00:00", "a", 2),
        row("2016-10-31 23:59:59.999", "a", 1),
        row("2017-01-01 00:00:00", "b", 2),
        row("2016-10-31 23:59:59.998", "b", 2),
        row("2016-12-01 00:00:00", "a", 2),
        row("2016-11-30 23:59:59.999", "a", 2),
    )
    assert counts(entry) == (6, 4, 1, 1, 0, 0, 0)
    assert {key[0]: stored[0] for key, stored in publisher.contents().items()} == {
        "2016-10-31T23:59:59.998Z": 2,
        "2016-10-31T23:59:59.999Z": 1,
        "2016-11-01T00:00:00.000Z": 2,
        "2016-11-30T23:59:59.999Z": 2,
        "2016-12-01T00:00:00.000Z": 2,
        "2017-01-01T00:00:00.000Z": 2,
    }


def test_a_month_can_be_appended_to(publisher: Publisher) -> None:
    for day in range(1, 5):
        entry = publisher.load(*(row(f"2016-10-0{day} {hour:02d}:00:00", "a", 1) for hour in range(24)))
        assert counts(entry) == (24, 24, 0, 0, 0, 0, 0)
    assert len(publisher.contents()) == 96


def test_the_first_and_the_last_year_have_their_partitions(publisher: Publisher) -> None:
    entry = publisher.load(row("1900-01-01T14:00:00+14:00", "a", 1), row("2099-12-31T23:59:59.999", "a", 1))
    assert counts(entry) == (2, 2, 0, 0, 0, 0, 0)
    assert [time for time, _ in publisher.contents()] == [
        "1900-01-01T00:00:00.000Z", "2099-12-31T23:59:59.999Z"
    ]  # fmt: skip


def test_a_month_begins_in_utc_wherever_the_times_were_read(publisher: Publisher) -> None:
    entry = publisher.load(
        row("2016-11-01 00:30:00", "a", 1), row("2016-11-01 01:30:00", "a", 2),
        timezone=ZoneInfo("Europe/Madrid"),
    )  # fmt: skip
    assert entry.inserted == 2
    assert [time for time, _ in publisher.contents()] == [
        "2016-10-31T23:30:00.000Z", "2016-11-01T00:30:00.000Z"
    ]  # fmt: skip
    touched = publisher.database.fetch("SELECT month::text, inserted FROM airq.load_month ORDER BY 1")
    assert touched == [("2016-10-01", 1), ("2016-11-01", 1)]


def test_sentinels_become_null_and_are_counted_by_cell(publisher: Publisher) -> None:
    entry = publisher.load(row(DAY, "a", -999, "-200.0", 1), row(DAY, "b", -9999, 0, "-999"))
    assert counts(entry) == (2, 2, 0, 0, 0, 0, 3)
    assert publisher.contents() == {(SEEN, "a"): values(None, None, 1.0), (SEEN, "b"): values(-9999.0, 0.0)}
    entry = publisher.load(row(DAY, "b", -9999, 0), missing=(-9999.0, 0.0))
    assert counts(entry) == (1, 0, 1, 0, 0, 0, 2)
    assert publisher.contents()[SEEN, "b"] == values()


def test_bad_rows_are_kept_with_line_field_value_and_reason_and_the_others_load(
    publisher: Publisher,
) -> None:
    entry = publisher.load(
        row(DAY, "good", 1),
        row(DAY, "", 1),
        "",
        row("2016-13-01 00:00:00", "month", 1),
        row(DAY, "word", 1, "much"),
        row(DAY, "endless", "inf"),
        f"{DAY},short,1",
        tolerance=Tolerance(rows=5),
    )
    assert (entry.outcome, counts(entry)) == ("loaded", (6, 1, 0, 0, 0, 5, 0))
    rejects = publisher.rejects(entry.id)
    assert [(reject.line, reject.field, reject.value) for reject in rejects] == [
        (3, "id_entity", ""),
        (5, "TimeInstant", "2016-13-01 00:00:00"),
        (6, "no2", "much"),
        (7, "so2", "inf"),
        (8, "", ""),
    ]
    assert rejects[2].raw == row(DAY, "word", 1, "much")
    assert all(reject.reason for reject in rejects)
    assert list(publisher.contents()) == [(SEEN, "good")]


@pytest.mark.parametrize(
    ("tolerance", "passes"),
    [
        (Tolerance(share=0.1), True),
        (Tolerance(share=0.0999), False),
        (Tolerance(rows=1), True),
        (Tolerance(rows=0), False),
        (Tolerance(share=0), False),
    ],
    ids=str,
)
def test_as_many_rejects_as_allowed_load_and_one_more_is_refused(
    publisher: Publisher, tolerance: Tolerance, passes: bool
) -> None:
    rows = [row(f"2016-10-01 {hour:02d}:00:00", "a", "x" if hour == 3 else 1) for hour in range(10)]
    if passes:
        assert publisher.load(*rows, tolerance=tolerance).inserted == 9
    else:
        publisher.refuse(*rows, tolerance=tolerance)
        assert publisher.contents() == {}


def test_a_refused_load_leaves_nothing_but_its_entry_and_its_rejects(publisher: Publisher) -> None:
    rows = [row(f"2016-10-01 {hour:02d}:00:00", "a", "x" if hour < 2 else 1) for hour in range(20)]
    entry = publisher.refuse(*rows)
    assert (entry.outcome, counts(entry)) == ("refused", (20, 0, 0, 0, 0, 2, 0))
    assert entry.finished is not None
    assert entry.finished >= entry.started
    assert entry.sha256 is not None
    assert entry.reason == "2 of 20 rows were rejected; allowed are 5 % (--max-rejects)"
    assert [reject.line for reject in publisher.rejects(entry.id)] == [2, 3]
    assert publisher.contents() == {}
    for table in ("measurement", "station", "coverage", "load_month"):
        assert publisher.database.fetch(f"SELECT * FROM airq.{table}") == [], table
    assert publisher.load(*rows, tolerance=Tolerance(rows=2)).inserted == 18


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "it is empty; a header line and measurements are needed"),
        (HEADER.encode() + b"\n", "it has a header and no row below it"),
        (HEADER.encode(), "it has a header and no row below it"),
        (b"time,station,humidity\n2016-10-01 00:00:00,a,1\n", "no pollutant column"),
    ],
    ids=["empty", "header", "header without newline", "no pollutant"],
)
def test_a_file_without_measurements_is_refused_and_entered(
    publisher: Publisher, tmp_path: Path, content: bytes, reason: str
) -> None:
    path = tmp_path / "nothing.csv"
    path.write_bytes(content)
    entry = publisher.refuse(path=path)
    assert entry.outcome == "refused"
    assert entry.reason is not None
    assert entry.reason.startswith(reason)
    assert publisher.contents() == {}


def test_a_gzip_file_that_was_cut_off_is_refused_whole(publisher: Publisher, tmp_path: Path) -> None:
    rows = [
        row(f"2016-10-{day:02d} {hour:02d}:00:00", "a", day, hour)
        for day in range(1, 31)
        for hour in range(24)
    ]
    packed = gzip.compress("\n".join((HEADER, *rows)).encode())
    whole, cut = tmp_path / "whole.csv.gz", tmp_path / "cut.csv.gz"
    whole.write_bytes(packed)
    cut.write_bytes(packed[:-100])
    entry = publisher.refuse(path=cut)
    assert entry.reason is not None
    assert entry.reason.startswith("the gzip file is cut off")
    assert publisher.contents() == {}
    assert publisher.load(path=whole).inserted == 720


def test_columns_without_use_are_named_once(publisher: Publisher) -> None:
    said = Said()
    publisher.load(f"{DAY},a,1,x,y", f"{DAY},a,2,x,y", header="time,station,so2,humidity,Notes", said=said)
    assert [notice for notice in said.notices if "humidity" in notice] == [
        "columns without use: humidity, Notes"
    ]


def test_of_thousands_of_columns_without_use_the_first_are_named(publisher: Publisher) -> None:
    said = Said()
    names = [f"x{number}" for number in range(3000)]
    publisher.load(f"{DAY},a,1{',' * 3000}", header=f"time,station,so2,{','.join(names)}", said=said)
    [notice] = said.notices
    assert notice.startswith("columns without use: x0, x1, x2, ")
    assert len(notice) < 250


def test_stations_are_names_and_differ_by_each_character(publisher: Publisher) -> None:
    names = ["a", "A", "ä", "a\u0308", "station 1", "'; DROP TABLE airq.load; --", "日本", "x" * 200]
    entry = publisher.load(*(row(DAY, name, number) for number, name in enumerate(names)))
    assert entry.inserted == len(names)
    stored = publisher.contents()
    assert {name: stored[SEEN, name][0] for name in names} == dict(zip(names, range(8), strict=True))


def test_what_was_read_is_told_on_the_way(publisher: Publisher, many_rows_csv: Path) -> None:
    said = Said()
    publisher.load(path=many_rows_csv, said=said)
    assert (said.rows, said.notices) == (960, [])
    assert said.byte_count == many_rows_csv.stat().st_size
