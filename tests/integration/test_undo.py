"""Taking loads back: the database is then as if they had never been, but for versions, which grow."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from airq.domain.tolerance import Tolerance
from airq.store.undoing import NotUndoable
from tests.conftest import Database
from tests.integration.publishing import Measurements, Publisher, row, values, versions
from tests.integration.sessions import ended, is_at, session, started, wait_until

OCTOBER, NOVEMBER = "2016-10-01 00:00:00", "2016-11-01 00:00:00"
AT = {OCTOBER: "2016-10-01T00:00:00.000Z", NOVEMBER: "2016-11-01T00:00:00.000Z"}


def test_an_undo_takes_new_rows_away(publisher: Publisher) -> None:
    publisher.load(row(OCTOBER, "a", 1))
    before = publisher.contents()
    publisher.load(row(OCTOBER, "b", 1), row(NOVEMBER, "a", 1))
    entry = publisher.undo(2)
    assert (entry.kind, entry.undoes, entry.outcome, entry.changed) == ("undo", 2, "loaded", 2)
    assert publisher.contents() == before
    assert publisher.ledger(2).undone_by == entry.id
    assert publisher.ledger(1).undone_by is None


def test_an_undo_brings_replaced_values_back_exactly(publisher: Publisher) -> None:
    publisher.load(
        row(OCTOBER, "a", "0.1", None, "1e-320", "-0.0", "1.7976931348623157e308", "6.80117094260474"),
        row(OCTOBER, "b", 1),
    )
    before, kept = publisher.contents(), publisher.content()
    publisher.load(row(OCTOBER, "a", *"123456"), row(OCTOBER, "b", 1), row(OCTOBER, "c", 1))
    assert publisher.undo(2).changed == 2
    assert publisher.contents() == before
    assert publisher.content() == kept
    # It belongs again to the load that brought it, which can now be undone itself.
    publisher.undo(1)
    assert publisher.contents() == {}


def test_only_the_columns_that_a_load_had_are_changed_and_brought_back(publisher: Publisher) -> None:
    publisher.load(row(OCTOBER, "a", 1, 2, 3))
    publisher.load(f"{OCTOBER},a,22", header="time,station,no2")
    assert publisher.contents() == {(AT[OCTOBER], "a"): values(1.0, 22.0, 3.0)}
    publisher.undo(2)
    assert publisher.contents() == {(AT[OCTOBER], "a"): values(1.0, 2.0, 3.0)}


def test_a_load_whose_rows_a_newer_one_replaced_is_undone_behind_that_one(publisher: Publisher) -> None:
    publisher.load(row(OCTOBER, "a", 1), row(OCTOBER, "b", 1))
    publisher.load(row(OCTOBER, "a", 2))
    publisher.load(row(OCTOBER, "b", 3))
    before = publisher.contents()
    with pytest.raises(NotUndoable, match=r"newer loads replaced rows of load 1; undo these first: 3, 2"):
        publisher.undo(1)
    refused = publisher.newest()
    assert (refused.kind, refused.outcome, refused.undoes) == ("undo", "refused", 1)
    assert publisher.ledger(1).undone_by is None
    assert publisher.contents() == before
    publisher.undo(2)
    with pytest.raises(NotUndoable, match=r"undo these first: 3$"):
        publisher.undo(1)
    publisher.undo(3)
    publisher.undo(1)
    assert publisher.contents() == {}


def test_loads_that_only_share_a_month_or_found_rows_unchanged_stand_in_no_undos_way(
    publisher: Publisher,
) -> None:
    publisher.load(row(OCTOBER, "a", 1))
    publisher.load(row(OCTOBER, "a", 1), row(OCTOBER, "b", 1))
    publisher.undo(1)
    assert publisher.contents() == {(AT[OCTOBER], "b"): values(1.0)}


@pytest.mark.parametrize(
    ("prepare", "number", "reason"),
    [
        (lambda p: p.undo(1), 1, "load 1 was undone before, by 3"),
        (lambda p: p.undo(1), 3, "load 3 is an undo of load 1; to redo that one, load its file again"),
        (lambda p: p.load(row(OCTOBER, "a", 1)), 3, "load 3 is “unchanged”: there is nothing to undo"),
        (lambda p: p.refuse(), 3, "load 3 is “refused”: there is nothing to undo"),
    ],
    ids=["undone", "undo", "unchanged", "refused"],
)
def test_what_can_not_be_undone_is_refused_with_the_reason(
    publisher: Publisher, prepare: Callable[[Publisher], object], number: int, reason: str
) -> None:
    publisher.load(row(OCTOBER, "a", 1))
    publisher.load(row(NOVEMBER, "b", 1))
    prepare(publisher)
    before = publisher.contents()
    with pytest.raises(NotUndoable) as caught:
        publisher.undo(number)
    assert str(caught.value) == reason
    assert publisher.newest().reason == reason
    assert publisher.contents() == before


def test_an_undone_file_can_be_loaded_again(publisher: Publisher) -> None:
    rows = row(OCTOBER, "a", 1), row(NOVEMBER, "a", 1)
    publisher.load(*rows)
    before = publisher.contents()
    publisher.undo(1)
    assert publisher.load(*rows).inserted == 2
    assert publisher.contents() == before
    publisher.undo(3)
    assert publisher.contents() == {}


def test_an_undo_waits_for_a_load_and_then_knows_of_it(publisher: Publisher) -> None:
    publisher.load(row(OCTOBER, "a", 1))
    path = publisher.write(row(OCTOBER, "a", 2))
    database = publisher.database
    with (
        session(database) as watching,
        session(database, "LOCK airq.coverage IN SHARE MODE") as gate,
        started(database, "load", path) as load,
    ):
        wait_until(lambda: is_at(watching, "WITH next", waiting=True), load)
        with started(database, "loads", "undo", "1") as undo:
            wait_until(lambda: is_at(watching, "SELECT pg_advisory_lock", waiting=True), undo)
            gate.run("ROLLBACK")
            assert ended(load).status == 0
            done = ended(undo)
    assert done.status == 1
    assert done.err.splitlines() == [
        "airq: load 1: another load is running; waiting for it to end",
        "airq: error: newer loads replaced rows of load 1; undo these first: 2",
    ]
    assert publisher.contents() == {(AT[OCTOBER], "a"): values(2.0)}


# A model of loads and undos, as simple as can be, to compare long random sequences with.

STATIONS, TIMES, COLUMNS = ("a", "b"), (OCTOBER, "2016-10-31 23:59:59.999", NOVEMBER), ("so2", "no2")
BAD = "?"
"""A cell for which its row is rejected."""
CELL = st.sampled_from([None, 0.0, 1.0, 2.5, None, 0.0, 1.0, 2.5, BAD])
KEY = st.tuples(st.sampled_from(TIMES), st.sampled_from(STATIONS))
FILE = st.tuples(
    st.sampled_from([COLUMNS, COLUMNS[:1], COLUMNS[1:]]),
    st.lists(st.tuples(KEY, st.tuples(CELL, CELL)), min_size=1, max_size=6),
)
"""Columns, and rows of key and values: some of them more than once, some with a bad value."""
ACTION = st.one_of(FILE, FILE, st.integers(1, 12))
"""A file to load, or the number of a load to undo."""

Key = tuple[str, str]
Row = dict[str, float | None]


@dataclass
class Model:
    rows: dict[Key, Row] = field(default_factory=dict)
    owner: dict[Key, int] = field(default_factory=dict)
    replaced: dict[int, dict[Key, tuple[Row, int] | None]] = field(default_factory=dict)
    """Load → row → what it was before and whose; None where there was none."""
    undone: set[int] = field(default_factory=set)

    def load(self, number: int, file: dict[Key, Row]) -> tuple[int, int, int]:
        """Return how many rows are inserted, changed, unchanged."""
        replaced: dict[Key, tuple[Row, int] | None] = {}
        for key, found in file.items():
            before = self.rows.get(key)
            after = dict.fromkeys(COLUMNS) | (before or {}) | found
            if before != after:
                replaced[key] = None if before is None else (before, self.owner[key])
                self.rows[key], self.owner[key] = after, number
        if replaced:
            self.replaced[number] = replaced
        inserted = sum(old is None for old in replaced.values())
        return inserted, len(replaced) - inserted, len(file) - len(replaced)

    def can_undo(self, number: int) -> bool:
        return number in self.replaced and number not in self.undone and all(
            self.owner.get(key) == number for key in self.replaced[number]
        )  # fmt: skip

    def undo(self, number: int) -> None:
        self.undone.add(number)
        for key, old in self.replaced[number].items():
            if old is None:
                del self.rows[key], self.owner[key]
            else:
                self.rows[key], self.owner[key] = old

    @property
    def contents(self) -> Measurements:
        return {
            (time.replace(" ", "T") + ("Z" if "." in time else ".000Z"), station):
                values(found["so2"], found["no2"])
            for (time, station), found in sorted(self.rows.items())
        }  # fmt: skip


@settings(
    max_examples=12, deadline=None, derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)  # fmt: skip
@given(actions=st.lists(ACTION, min_size=8, max_size=16))
def test_any_sequence_of_loads_and_undos_ends_as_a_simple_model_says(
    make_database: Callable[[], Database], tmp_path: Path, actions: list[object]
) -> None:
    publisher, model = Publisher(make_database(), tmp_path), Model()
    known = versions(publisher.database)
    for number, action in enumerate(actions, start=1):
        if isinstance(action, int):
            # Some of the numbers mean no load yet, and then the newest one.
            undone = min(action, number - 1)
            if undone < 1:
                publisher.refuse()
                continue
            if model.can_undo(undone):
                assert publisher.undo(undone).changed == len(model.replaced[undone])
                model.undo(undone)
            else:
                with pytest.raises(NotUndoable):
                    publisher.undo(undone)
        else:
            assert isinstance(action, tuple)
            columns, given_rows = action
            lines = [
                ",".join((*key, *("" if cell is None else str(cell) for cell in cells[: len(columns)])))
                for key, cells in given_rows
            ]
            good = [
                (key, dict(zip(columns, cells, strict=False)))
                for key, cells in given_rows
                if BAD not in cells[: len(columns)]
            ]
            file = dict(good)
            header = ",".join(("time", "station", *columns))
            entry = publisher.load(*lines, header=header, tolerance=Tolerance(share=1.0))
            assert entry.rejected == len(lines) - len(good)
            counted = (entry.inserted, entry.changed, entry.unchanged)
            assert counted == model.load(number, file)
            assert entry.repeated == len(good) - len(file)
        assert publisher.contents() == model.contents
        now = versions(publisher.database)
        assert all(now[key] >= version for key, version in known.items())
        if publisher.newest().outcome == "loaded":
            assert now[0, "-infinity"] > known.get((0, "-infinity"), 0)
        else:
            assert now == known
        known = now
