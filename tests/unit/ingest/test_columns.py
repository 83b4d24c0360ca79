"""The fast paths over whole columns agree with the definition of one cell."""

import csv
import io
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from airq.domain.instants import UnreadableInstant, parse_instant
from airq.ingest import columns
from airq.ingest.cells import CellError, parse_number
from airq.ingest.columns import parse_instants, parse_numbers
from airq.ingest.lines import Block
from airq.ingest.table import Table, read_table
from tests.unit.ingest.reading import THOROUGH, bits


def table_of(rows: list[list[str]], separator: str) -> Table:
    """Return a table with these cells, and one before them, so that no row is blank."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, delimiter=separator, lineterminator="\n")
    writer.writerows([["x", *row] for row in rows])
    refused: list[tuple[int, str]] = []
    block = Block(2, text.getvalue().encode())
    table = read_table(block, separator, len(rows[0]) + 1, lambda line, why: refused.append((line, why)))
    assert not refused
    return table


# Characters that csv.writer would have to quote, and those that no line holds, are left to other tests.
TEXTS = st.text(st.characters(exclude_characters="\n\r\0", exclude_categories=["Cs"]), max_size=8)
PLAIN_NUMBERS = st.one_of(
    st.decimals(0, 999, places=2).map(str),
    st.integers(-(10**25), 10**25).map(str),
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
    st.from_regex(r"-?(0|[1-9]\d{0,20})(\.\d{1,25})?([eE][+-]?\d{1,3})?", fullmatch=True),
)
ODD_SPELLINGS = [
    " ", " 5", "5\t", ".5", "5.", "+1", "-0", "-0.0", "-0e5", "007", "1e400", "-1e400", "1e-400",
    "null", "true", "[1]", "[]", "{}", "1,2", "6,8", ",", ",,", "1 2", "NaN", "nan", "inf",
    "-Infinity", "∞", "0x10", "1_000", "١٢", "1e", "--1", "1.2.3", "-", "n/a", "NA", "-999",
    "9" * 400, "0." + "0" * 400 + "1", '"', '""', '"1', '1"', "9007199254740993", "-200.0",
]  # fmt: skip
ODD_NUMBERS = st.one_of(
    st.sampled_from(ODD_SPELLINGS),
    TEXTS,
    st.from_regex(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?", fullmatch=True).filter(str.isascii),
)


def a_table(*cells: st.SearchStrategy[str]) -> st.SearchStrategy[list[list[str]]]:
    return st.integers(1, 3).flatmap(
        lambda width: st.lists(
            st.lists(st.one_of(*cells), min_size=width, max_size=width), min_size=1, max_size=12
        )
    )


def check_numbers(rows: list[list[str]], separator: str) -> None:
    marks: list[float | str] = [-999.0, -200.0, "na"]
    refused: list[tuple[int, int, str]] = []
    numbers, marked = parse_numbers(
        table_of(rows, separator),
        range(1, len(rows[0]) + 1),
        marks,
        lambda *found: refused.append(found),
    )
    expected_refused = []
    for row, cells in enumerate(rows):
        for column, cell in enumerate(cells):
            value, mark = None, cell.strip().lower() == "na"
            if not mark:
                try:
                    value = parse_number(cell)
                except CellError as error:
                    expected_refused.append((row, column + 1, str(error)))
                    continue
            mark = mark or value in marks
            assert bits(numbers[row, column]) == bits(None if mark else value), cell
            assert marked[row, column] == mark, cell
    assert refused == expected_refused


@THOROUGH
@given(a_table(PLAIN_NUMBERS), st.sampled_from(",;\t"))
def test_columns_of_plain_numbers_are_read_as_each_cell_is(rows: list[list[str]], mark: str) -> None:
    check_numbers(rows, mark)


@THOROUGH
@given(a_table(PLAIN_NUMBERS, st.just("")), st.sampled_from(",;\t"))
@example([["", "", ""], ["", "", ""]], ",")
@example([[""]], ",")
@example([["1", ""], ["", "2"]], ";")
def test_columns_with_gaps_are_read_as_each_cell_is(rows: list[list[str]], mark: str) -> None:
    check_numbers(rows, mark)


@THOROUGH
@given(a_table(PLAIN_NUMBERS, ODD_NUMBERS, st.just("")), st.sampled_from(",;\t"))
@example([["1,2", ""], ["3", "4"]], ";")
@example([["[1", "2]"]], ",")
@example([['"1', '2"']], ";")
@example([["null", "1"]], ",")
@example([["n/a", ".5"], ["-0", "1"]], ",")
def test_columns_with_odd_cells_are_read_as_each_cell_is(rows: list[list[str]], mark: str) -> None:
    check_numbers(rows, mark)


def test_zero_has_no_sign() -> None:
    assert bits(parse_number("-0.00")) == bits(0.0)


def test_plain_numbers_never_go_cell_by_cell(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(columns, "parse_number", lambda text: pytest.fail(f"{text} was read alone"))
    rows = [["", "1.5", "17"], ["-2e-3", "", ""], ["", "", "0"], ["3", "4", ""]]
    numbers, _ = parse_numbers(
        table_of(rows, ";"), [1, 2, 3], [-999.0], lambda *found: pytest.fail(str(found))
    )
    gap = np.nan
    expected = [[gap, 1.5, 17.0], [-0.002, gap, gap], [gap, gap, 0.0], [3.0, 4.0, gap]]
    assert np.array_equal(numbers, expected, equal_nan=True)


def test_one_odd_cell_leaves_the_others_to_the_fast_path(monkeypatch: pytest.MonkeyPatch) -> None:
    alone: list[str] = []
    monkeypatch.setattr(columns, "parse_number", alone.append)
    parse_numbers(table_of([["1.5", "n/a"], ["2", "3"]], ","), [1, 2], [], lambda *found: None)
    assert alone == ["n/a"]


ZONES: list[tzinfo] = [
    UTC,
    ZoneInfo("UTC"),
    ZoneInfo("Europe/Madrid"),
    ZoneInfo("Australia/Lord_Howe"),  # Its summer time is half an hour.
    ZoneInfo("Pacific/Apia"),  # It left out a whole day.
    ZoneInfo("America/Havana"),  # Its clocks change at midnight.
    timezone(timedelta(hours=-3, minutes=-30)),
]
MOMENTS = st.one_of(
    st.datetimes(datetime(1890, 1, 1), datetime(2109, 12, 31)),  # noqa: DTZ001 local times
    st.datetimes(datetime(1899, 12, 31), datetime(1900, 1, 2)),  # noqa: DTZ001
    st.datetimes(datetime(2099, 12, 31), datetime(2100, 1, 2)),  # noqa: DTZ001
    st.datetimes(datetime(2011, 12, 28), datetime(2012, 1, 2)),  # noqa: DTZ001
    st.datetimes(datetime(2016, 10, 29, 22), datetime(2016, 10, 30, 5)),  # noqa: DTZ001
    st.datetimes(datetime(2016, 3, 12, 22), datetime(2016, 3, 27, 5)),  # noqa: DTZ001
)
FORMS = st.tuples(
    st.sampled_from(["%Y-%m-%d", "%Y/%m/%d"]),
    st.sampled_from("T t"),
    st.sampled_from(["%H:%M", "%H:%M:%S"]),
    st.sampled_from([(".", 0), (".", 1), (".", 3), (",", 3), (".", 6), (".", 9)]),
    st.sampled_from(["", "", "Z", "z", " UTC", "+02", "-0330", "+05:45", " +00:00", "+16:00", "+01:60"]),
)
NASTY_SPELLINGS = [
    "", " ", "x", "2016-10-01", "18:00:00", "2016-02-30 00:00:00", "2015-02-29 00:00:00",
    "2016-02-29 00:00:00", "1900-02-29 00:00:00", "2000-02-29 00:00:00", "2016-13-01 00:00:00",
    "2016-00-01 00:00:00", "2016-01-00 00:00:00", "2016-01-32 00:00:00",
    "2016-10-01 24:00:00", "2016-10-01 24:00:01",
    "2016-12-31 23:59:60", "2016-10-01 23:60:00", "0001-01-01 00:00:00", "9999-12-31 24:00:00",
    "0000-01-01 00:00:00", "0001-01-01 00:00:00+15:00", "9999-12-31 23:59:59", "9999-12-31 23:59:59-15:00",
    "1899-12-31 23:59:59", "2099-12-31 24:00:00", "2016-10-01_00:00:00", "2016-10-01 0a:00:00",
    "2016-10-0١ 00:00", " 2016-10-01 00:00:00", "2016-10-01 00:00:00 ", "2016-10-01 00:00:0:",
    "2016-10-01 00:00:00.1234567890", "2016-10-01 00:00:00.", "20161001T000000Z", "é" * 19,
]  # fmt: skip
NASTY_TIMES = st.one_of(
    st.sampled_from(NASTY_SPELLINGS),
    TEXTS,
)


def spell(moment: datetime, form: tuple[str, str, str, tuple[str, int], str]) -> str:
    day, between, clock, (point, digits), zone = form
    fraction = point + f"{moment.microsecond:06d}000"[:digits] if digits else ""
    # strftime does not fill years up to four digits everywhere.
    year = f"{moment.year:04d}"
    return moment.strftime(f"{day.replace('%Y', year)}{between}{clock}") + fraction + zone


def check_instants(cells: list[str], zone: tzinfo) -> None:
    refused: list[tuple[int, int, str]] = []
    instants = parse_instants(
        table_of([[cell] for cell in cells], ";"), 1, zone, lambda *found: refused.append(found)
    )
    expected_refused = []
    for row, cell in enumerate(cells):
        try:
            assert instants[row] == parse_instant(cell, zone), cell
        except UnreadableInstant as error:
            expected_refused.append((row, 1, str(error)))
    assert refused == expected_refused


@THOROUGH
@given(FORMS, st.lists(MOMENTS, min_size=1, max_size=12), st.sampled_from(ZONES))
def test_times_spelled_alike_are_read_as_each_cell_is(
    form: tuple[str, str, str, tuple[str, int], str], moments: list[datetime], zone: tzinfo
) -> None:
    check_instants([spell(moment, form) for moment in moments], zone)


@THOROUGH
@given(
    st.lists(st.one_of(st.builds(spell, MOMENTS, FORMS), NASTY_TIMES), min_size=1, max_size=12),
    st.sampled_from(ZONES),
)
def test_times_spelled_in_many_ways_are_read_as_each_cell_is(cells: list[str], zone: tzinfo) -> None:
    check_instants(cells, zone)


@THOROUGH
@given(
    st.lists(st.builds(spell, MOMENTS, st.just(("%Y-%m-%d", " ", "%H:%M:%S", (".", 0), "")))),
    st.lists(st.text("0123456789-:/ TZ.+", min_size=19, max_size=19)),
    st.randoms(use_true_random=False),
)
def test_damaged_times_of_the_usual_length_are_read_as_each_cell_is(
    good: list[str], damaged: list[str], random: object
) -> None:
    cells = [*good, *damaged] or ["x"]
    random.shuffle(cells)  # type: ignore[attr-defined]
    check_instants(cells, UTC)


@pytest.mark.parametrize("zone", ZONES, ids=str)
def test_every_hour_of_the_days_around_a_change_of_clocks_is_read_as_each_cell_is(
    zone: tzinfo,
) -> None:
    starts = [datetime(2016, 3, 26), datetime(2016, 10, 29), datetime(2011, 12, 29)]  # noqa: DTZ001
    starts += [datetime(2016, 4, 2), datetime(2016, 3, 12), datetime(2016, 11, 5)]  # noqa: DTZ001
    starts += [datetime(1899, 12, 31), datetime(2099, 12, 31)]  # noqa: DTZ001 the first and the last ones
    cells = [
        f"{start + timedelta(minutes=15 * quarter):%Y-%m-%d %H:%M:%S}"
        for start in starts
        for quarter in range(3 * 96)
    ]
    check_instants(cells, zone)


def test_times_spelled_alike_never_go_cell_by_cell(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(columns, "parse_instant", lambda *_: pytest.fail("a time was read alone"))
    cells = [f"2016-10-{day:02d}T12:00:00.5+02:00" for day in range(1, 29)]
    instants = parse_instants(
        table_of([[cell] for cell in cells], ","), 1, UTC, lambda *found: pytest.fail(str(found))
    )
    assert instants[0] == 1475316000500


def test_a_zones_usual_days_never_go_cell_by_cell(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(columns, "parse_instant", lambda *_: pytest.fail("a time was read alone"))
    table = table_of([["2016-07-01 12:00:00"], ["2016-12-01 12:00:00"]], ",")
    zone = ZoneInfo("Europe/Madrid")
    instants = parse_instants(table, 1, zone, lambda *found: pytest.fail(str(found)))
    assert instants.tolist() == [1467367200000, 1480590000000]
