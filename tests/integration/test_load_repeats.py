"""A file that has a station and time more than once: the last one counts, the others are reported."""

import random
from collections.abc import Iterator

import pytest

from airq.domain.tolerance import Tolerance
from tests.conftest import Airq
from tests.integration.publishing import HEADER, Measurements, Publisher, Said, row, values

SEPTEMBER, OCTOBER, NOVEMBER = (f"2016-{month}-01 00:00:00" for month in ("09", "10", "11"))
PADDING = "x" * 4000
"""In a column without use, so that a thousand rows fill more than what is read at once (1 MiB)."""
WIDE_HEADER = f"{HEADER},padding"


def wide(rows: Iterator[str]) -> list[str]:
    return [f"{one},{PADDING}" for one in rows]


def reports(publisher: Publisher, number: int) -> list[tuple[int, str]]:
    return [(reject.line, reject.reason) for reject in publisher.rejects(number)]


def counts(publisher: Publisher, number: int) -> tuple[int, ...]:
    """Read, inserted, changed, unchanged, repeated, rejected."""
    entry = publisher.ledger(number)
    assert entry.outcome == "loaded"
    return (
        entry.rows_read, entry.inserted, entry.changed, entry.unchanged, entry.repeated, entry.rejected
    )  # fmt: skip


@pytest.mark.parametrize("known", [(), (OCTOBER,), (SEPTEMBER, OCTOBER, NOVEMBER)], ids=len)
def test_the_last_one_counts_and_the_others_are_reported_with_their_text(
    publisher: Publisher, known: tuple[str, ...]
) -> None:
    for month in known:
        publisher.load(row(month, "other", 0))
    entry = publisher.load(
        row(OCTOBER, "a", 1),
        row(NOVEMBER, "a", 1),
        row(OCTOBER, "b", 1),
        row(OCTOBER, "a", 2, 2),
        row(SEPTEMBER, "a", 1),
        row(OCTOBER, "a", 3),
        row(NOVEMBER, "a", 4),
    )
    assert counts(publisher, entry.id) == (7, 4, 0, 0, 3, 0)
    reason = "repeated: line {} has the same station and time, and the last one counts"
    assert reports(publisher, entry.id) == [
        (2, reason.format(7)), (3, reason.format(8)), (5, reason.format(7))
    ]  # fmt: skip
    assert publisher.rejects(entry.id)[2].raw == row(OCTOBER, "a", 2, 2)
    stored = publisher.contents()
    assert {key: found for key, found in stored.items() if key[1] != "other"} == {
        ("2016-09-01T00:00:00.000Z", "a"): values(1.0),
        ("2016-10-01T00:00:00.000Z", "a"): values(3.0),
        ("2016-10-01T00:00:00.000Z", "b"): values(1.0),
        ("2016-11-01T00:00:00.000Z", "a"): values(4.0),
    }


def test_an_exact_duplicate_is_reported_like_any_repeated_row(publisher: Publisher) -> None:
    entry = publisher.load(*[row(OCTOBER, "a", 1, 2)] * 3)
    assert counts(publisher, entry.id) == (3, 1, 0, 0, 2, 0)
    assert [line for line, _ in reports(publisher, entry.id)] == [2, 3]
    assert publisher.contents() == {("2016-10-01T00:00:00.000Z", "a"): values(1.0, 2.0)}


def test_two_spellings_of_one_time_are_one_time(publisher: Publisher) -> None:
    entry = publisher.load(
        row("2016-10-01 00:00:00.004", "a", 1),
        row("2016-10-01T02:00:00.0049+02:00", " a ", 2),
    )
    assert counts(publisher, entry.id) == (2, 1, 0, 0, 1, 0)
    assert publisher.contents() == {("2016-10-01T00:00:00.004Z", "a"): values(2.0)}


def test_the_same_repeating_file_changes_nothing_the_second_time(publisher: Publisher) -> None:
    rows = [row(OCTOBER, "a", 1), row(OCTOBER, "a", 2)]
    publisher.load(*rows)
    entry = publisher.load(*rows)
    assert entry.outcome == "unchanged"
    assert (entry.unchanged, entry.repeated) == (1, 1)
    assert publisher.contents() == {("2016-10-01T00:00:00.000Z", "a"): values(2.0)}


def test_a_rejected_row_is_no_repetition(publisher: Publisher) -> None:
    entry = publisher.load(
        row(OCTOBER, "a", 1),
        row(OCTOBER, "a", 2),
        row(OCTOBER, "a", "three"),
        row(OCTOBER, "b", "four"),
        tolerance=Tolerance(rows=2),
    )
    assert counts(publisher, entry.id) == (4, 1, 0, 0, 1, 2)
    assert [line for line, _ in reports(publisher, entry.id)] == [2, 4, 5]
    assert publisher.contents() == {("2016-10-01T00:00:00.000Z", "a"): values(2.0)}


@pytest.mark.parametrize("known", [False, True], ids=["new month", "known month"])
def test_rows_are_repeated_across_the_parts_in_which_a_file_is_read(
    publisher: Publisher, known: bool
) -> None:
    if known:
        publisher.load(row(OCTOBER, "a", -1), row(NOVEMBER, "a", -1))
    times = [f"2016-{10 + number // 720}-{number // 24 % 30 + 1:02d} {number % 24:02d}:00:00"
             for number in range(1440)]  # fmt: skip
    once = [row(time, "a", number) for number, time in enumerate(times)]
    again = [row(times[number], "a", -number) for number in (0, 5, 719, 720, 1439, 5)]
    path = publisher.write(*wide(iter([*once, *once, *again])), header=WIDE_HEADER)
    assert path.stat().st_size > 2 * 4 * 1024 * 1024
    said = Said()
    entry = publisher.load(path=path, said=said)
    assert (entry.rows_read, entry.repeated) == (2886, 1446)
    assert (entry.inserted, entry.changed) == ((1438, 2) if known else (1440, 0))
    assert (said.rows, said.byte_count) == (2886, path.stat().st_size)
    assert said.restarts == (0 if known else 1)
    reported = dict(reports(publisher, entry.id)[:8])
    assert "line 2882 " in reported[2]
    assert "line 1443 " in reported[3]
    assert "line 2887 " in reported[7]
    everything = publisher.database.fetch("SELECT count(*) FROM airq.rejected_row")
    assert everything == [(1446,)]
    assert publisher.rejects(entry.id)[0].raw.startswith(row(times[0], "a", 0) + ",xxx")
    stored = publisher.contents()
    assert len(stored) == 1440
    for number, (_, found) in enumerate(stored.items()):
        changed = number in (0, 5, 719, 720, 1439)
        assert found == values(float(-number if changed else number)), number


def test_a_file_of_many_parts_starts_over_without_a_word_of_disorder(
    publisher: Publisher, airq: Airq
) -> None:
    # The first month breaks while later parts of the file are being read ahead.
    rows = [row(f"2016-{month:02d}-{day:02d} {hour:02d}:00:00", "a", month, day, hour)
            for month in range(1, 11) for day in range(1, 29) for hour in range(24)]  # fmt: skip
    path = publisher.write(*wide(iter([rows[0], *rows])), header=WIDE_HEADER)
    done = airq("load", path, database=publisher.database)
    assert done.status == 0
    assert done.err.splitlines() == [
        f"airq: {path}: columns without use: padding",
        f"airq: {path}: the file repeats a station and time; starting over to find the last ones",
        f"airq: {path}: 1 row is repeated further down; the last one counts",
    ]
    assert len(publisher.contents()) == 6720


def test_any_mixture_ends_as_the_last_rows_say(publisher: Publisher) -> None:
    choice = random.Random(7)
    expected: Measurements = {}
    for _ in range(4):
        rows = []
        for _ in range(200):
            month, station, value = choice.randint(1, 4), choice.choice("abc"), choice.randint(0, 3)
            day = choice.randint(1, 9)
            rows.append(row(f"2016-0{month}-0{day} 00:00:00", station, value))
            expected[f"2016-0{month}-0{day}T00:00:00.000Z", station] = values(float(value))
        entry = publisher.load(*rows)
        assert entry.rows_read == 200
        assert publisher.contents() == dict(sorted(expected.items()))
