"""Measurements as JSON, CSV and NDJSON; which of them an Accept header chooses."""

import csv
import io
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airq.api.compression import accepts_gzip
from airq.api.problems import Problem
from airq.api.representations import negotiate, render_head, render_page, render_rows
from airq.domain.instants import format_instant
from airq.domain.measurements import Columns
from airq.domain.queries import Format, Query

FORMATS: tuple[Format, ...] = ("json", "csv", "ndjson")
POLLUTANTS = ("so2", "co")
VALUES = st.none() | st.floats(allow_nan=False, allow_infinity=False)
ROWS = st.lists(
    st.tuples(
        st.integers(-2_208_988_800_000, 4_102_444_799_999),
        st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1),
        VALUES,
        VALUES,
    )
)


def exact(values: list[Any]) -> list[Any]:
    """Return values in a form that tells -0.0 from 0.0."""
    return [value.hex() if isinstance(value, float) else value for value in values]


@given(ROWS)
def test_csv_gives_back_every_name_and_double(rows: list[tuple[Any, ...]]) -> None:
    body = render_head("csv", POLLUTANTS) + render_rows("csv", Columns.of(rows), POLLUTANTS)
    header, *lines = csv.reader(io.StringIO(body.decode(), newline=""), strict=True)
    assert header == ["timestamp", "station", *POLLUTANTS]
    for line, row in zip(lines, rows, strict=True):
        values = [float(cell) if cell else None for cell in line[2:]]
        assert line[:2] == [format_instant(row[0]), row[1]]
        assert exact(values) == exact(list(row[2:]))


@given(ROWS)
def test_ndjson_and_json_give_back_every_name_and_double(rows: list[tuple[Any, ...]]) -> None:
    columns = Columns.of(rows)
    lines = [json.loads(line) for line in render_rows("ndjson", columns, POLLUTANTS).split(b"\n") if line]
    page = json.loads(render_page(Query(pollutants=POLLUTANTS), columns, {"self": "/", "next": None}, 10))
    assert page["data"] == lines
    assert page["meta"]["count"] == len(rows)
    for line, row in zip(lines, rows, strict=True):
        assert list(line) == ["timestamp", "station", *POLLUTANTS]
        assert exact([line["so2"], line["co"]]) == exact(list(row[2:]))


@given(ROWS, st.integers(0, 10))
def test_an_export_in_parts_is_the_export_as_a_whole(rows: list[tuple[Any, ...]], cut: int) -> None:
    for form in ("csv", "ndjson"):
        parts = [render_rows(form, Columns.of(part), POLLUTANTS) for part in (rows[:cut], rows[cut:])]
        assert b"".join(parts) == render_rows(form, Columns.of(rows), POLLUTANTS)


@pytest.mark.parametrize("name", ["=1+1", "+1", "-1", "@x", "it's", "é"])
def test_names_go_out_as_they_came(name: str) -> None:
    line = render_rows("csv", Columns.of([(0, name, 1.0, None)]), POLLUTANTS).decode()
    assert line == f"1970-01-01T00:00:00.000Z,{name},1.0,\r\n"


@pytest.mark.parametrize("name", ["\tx", "a,b", 'a"b', "a\nb", "a\rb", " a", "a "])
def test_names_that_a_reader_of_csv_would_take_for_more_or_less_are_quoted(name: str) -> None:
    line = render_rows("csv", Columns.of([(0, name, 1.0, None)]), POLLUTANTS).decode()
    quoted = name.replace('"', '""')
    assert line == f'1970-01-01T00:00:00.000Z,"{quoted}",1.0,\r\n'


@pytest.mark.parametrize(
    ("accept", "form"),
    [
        ("", "json"),
        (" , ", "json"),
        ("*/*", "json"),
        ("text/csv", "csv"),
        ("text/csv;q=0.001", "csv"),
        ("application/json;q=0.1,text/csv;q=0.2", "csv"),
        ("text/*;q=0.5,application/json;q=0.4", "csv"),
        ("application/json;q=0,*/*;q=0.1", "csv"),
        ("application/x-ndjson, text/csv", "csv"),
        ("application/ndjson", "ndjson"),
    ],
)
def test_an_accept_header_chooses_the_best_offered_format(accept: str, form: str) -> None:
    assert negotiate(accept, FORMATS) == form


@given(st.text(max_size=60))
def test_an_accept_header_of_no_sense_is_told_what_is_offered(accept: str) -> None:
    accept = accept.replace("/", "")
    if not any(item.partition(";")[0].strip() for item in accept.split(",")):
        assert negotiate(accept, FORMATS) == "json"
        return
    with pytest.raises(Problem) as caught:
        negotiate(accept, FORMATS)
    assert len(caught.value.members["allowed"]) == 3


@pytest.mark.parametrize("weight", ["nan", "inf", "-1", "2", "1e0", "", "x", "0", "0.", "0.000"])
def test_a_weight_of_no_sense_is_no_wish(weight: str) -> None:
    with pytest.raises(Problem, match="not-acceptable"):
        negotiate(f"text/csv;q={weight}", FORMATS)


@pytest.mark.parametrize(
    ("accepted", "answer"),
    [
        (b"gzip", True),
        (b"GZIP;q=1.0", True),
        (b"br , gzip ; q=0.1", True),
        (b"x-gzip", True),
        (b"gzip;q=0", False),
        (b"gzip; q=0.00", False),
        (b"gzipped", False),
        (b"*", False),
        (b"identity", False),
        (b"", False),
    ],
)
def test_only_those_who_accept_gzip_get_it(accepted: bytes, answer: bool) -> None:
    assert accepts_gzip(accepted) is answer
