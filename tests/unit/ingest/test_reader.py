"""The reader as a whole: the same measurements however a file is written and cut into blocks."""

import csv
import io
import itertools
import tracemalloc
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from airq.domain.errors import UnusableInput
from airq.domain.instants import format_instant
from airq.ingest import reader as reader_module
from airq.ingest.lines import LONGEST_LINE
from airq.ingest.reader import Reader, shorten
from tests.unit.ingest.reading import HEADER, ROW, THOROUGH, Reading, bits, read

STATIONS = (
    st.text(
        st.one_of(
            st.sampled_from(" ,;\"'\té"), st.characters(exclude_categories=["Cc", "Cf", "Cs", "Zl", "Zp"])
        ),
        max_size=12,
    )
    .map(lambda name: name.replace("\t", " ").strip() or "aq_salvia")
    .filter(lambda name: not name.startswith("{") and name not in (".", ".."))
)
VALUES = st.one_of(
    st.none(),
    st.floats(allow_nan=False, allow_infinity=False).filter(lambda v: v not in (-999, -200)),
    st.decimals(0, 500, places=2).map(float),
)
COLUMNS = ("time", "station", "so2", "co", "pm2_5")
Measurement = tuple[int, str, float | None, float | None, float | None]
MEASUREMENTS = st.lists(
    st.tuples(st.integers(0, 2_000_000_000_000), STATIONS, VALUES, VALUES, VALUES), max_size=8
)


@dataclass(frozen=True)
class Style:
    """A way of writing a CSV."""

    separator: str = ","
    mark: bytes = b""
    line_end: str = "\n"
    last_end: bool = True
    quote_all: bool = False
    blank_lines: tuple[int, ...] = ()
    order: tuple[int, ...] = (0, 1, 2, 3, 4)
    extra_column: bool = False
    trailing_separator: bool = False
    time_names: tuple[str, ...] = ("TimeInstant",)
    names: tuple[str, ...] = ("id_entity", "so2", "co", "pm2_5")


STYLES = st.builds(
    Style,
    separator=st.sampled_from(",;\t"),
    mark=st.sampled_from([b"", b"\xef\xbb\xbf"]),
    line_end=st.sampled_from(["\n", "\r\n"]),
    last_end=st.booleans(),
    quote_all=st.booleans(),
    blank_lines=st.lists(st.integers(0, 9), max_size=3).map(tuple),
    order=st.permutations(range(5)).map(tuple),
    extra_column=st.booleans(),
    trailing_separator=st.booleans(),
    time_names=st.sampled_from([("TimeInstant",), ("TIMESTAMP",), ("date time",), ("Time (UTC)",)]),
    names=st.sampled_from(
        [
            ("id_entity", "so2", "co", "pm2_5"),
            ("Station", "SO2", "CO", "PM2.5"),
            ("STATION_ID", "SO₂ (µg/m³)", "CO [mg/m3]", "PM₂.₅ (ug/m3)"),
            ("site", "Sulphur dioxide", "carbon monoxide", "pm25_ugm3"),
        ]
    ),
)


def write(measurements: list[Measurement], style: Style) -> bytes:
    """Return a CSV in some style."""
    rows: list[list[str]] = [[style.time_names[0], *style.names]]
    for time, station, *values in measurements:
        rows.append([format_instant(time), station, *("" if v is None else repr(v) for v in values)])
    text = io.StringIO(newline="")
    writer = csv.writer(
        text,
        delimiter=style.separator,
        lineterminator=style.line_end,
        quoting=csv.QUOTE_ALL if style.quote_all else csv.QUOTE_MINIMAL,
    )
    for number, row in enumerate(rows):
        text.write(style.line_end * style.blank_lines.count(number))
        ordered = [row[place] for place in style.order]
        if style.extra_column:
            ordered.insert(1, "temperature" if number == 0 else "21.5, perhaps")
        if style.trailing_separator:
            ordered.append("")
        writer.writerow(ordered)
    content = style.mark + text.getvalue().encode()
    return content if style.last_end else content.removesuffix(style.line_end.encode())


@THOROUGH
@given(MEASUREMENTS, STYLES)
@example([(0, "a", 1.0, None, 2.0)], Style(separator="\t", order=(2, 1, 0, 3, 4)))
@example([(0, "a,b", 1.0, None, -0.0)], Style(quote_all=True, last_end=False))
def test_a_files_style_does_not_change_its_measurements(
    measurements: list[Measurement], style: Style
) -> None:
    reading = read(write(measurements, style))
    assert reading.rejects == []
    assert reading.measurements() == [
        (station, time, {"so2": bits(a), "co": bits(b), "pm2_5": bits(c)})
        for time, station, a, b, c in _unsigned_zeros(measurements)
    ]
    assert reading.extra == (("temperature",) if style.extra_column else ())


def _unsigned_zeros(measurements: list[Measurement]) -> list[tuple[Any, ...]]:
    return [
        (time, station, *(None if v is None else v + 0.0 for v in values))
        for time, station, *values in measurements
    ]


LINES = st.one_of(
    st.just(ROW.rstrip(b"\n")),
    st.builds(
        lambda hour, station, value: f"2016-10-01 {hour:02d}:00:00,{station},{value},".encode(),
        st.integers(0, 24),
        st.sampled_from(["aq_jaen", "aq_albi", " aq_jaen", "Jaén", ""]),
        st.sampled_from(["1", "2.5", "-999", "n/a", "", " "]),
    ),
    st.sampled_from(
        [
            b"", b"  ", b"\r", b",,,", b",,", b";;;", b"\t", b"x", b"\0", b"\xff", b"a\rb",
            b'2016-10-01 00:00:00,"a,b",1,2', b'2016-10-01 00:00:00,"a""b",1,2', b'"', b'"a"b,1,2,3',
            b'"2016-10-01 00:00:00","aq_salvia","1.5",""', b'2016-10-01 00:00:00,"a,1,2',
            b'2016-10-01 00:00:00,a"b",1,2', b'"","","",""', b"2016-10-01 00:00:00,\xe9,1,2",
            b"2016-10-01T00:00:00Z,a,.5,+1", b"2016-10-01 00:00:00,a,1,2,3", b"2016-10-01 00:00:00,a\0,1,2",
        ]
    ),
    st.binary(max_size=20).map(lambda line: line.replace(b"\n", b"")),
)  # fmt: skip
FILES = st.builds(
    lambda before, lines, ends, last: (
        b"\n" * before
        + HEADER
        + b"".join(itertools.chain.from_iterable(zip(lines, itertools.cycle(ends), strict=False)))
        + last
    ),
    st.integers(0, 3),
    st.lists(LINES, max_size=12),
    st.lists(st.sampled_from([b"\n", b"\r\n"]), min_size=1, max_size=3),
    LINES,
)


@THOROUGH
@given(FILES, st.integers(1, 120))
@example(HEADER + ROW + b",,,\n" + ROW, 1)
@example(HEADER + ROW + b'2016-10-01 00:00:00,"a,b",1,2\n', 50)
def test_where_blocks_end_does_not_matter(data: bytes, block_bytes: int) -> None:
    assert read(data, block_bytes=block_bytes) == read(data)


@THOROUGH
@given(FILES)
def test_every_row_is_a_measurement_or_a_reject_with_its_line_and_text(data: bytes) -> None:
    reading = read(data, block_bytes=100)
    lines = [line.removesuffix(b"\r") for line in data.split(b"\n")]
    header = next(place for place, line in enumerate(lines) if line.strip())
    expected = [
        number for number, line in enumerate(lines, start=1) if number > header + 1 and not _is_blank(line)
    ]
    found = sorted([row.line for row in reading.rows] + [reject.line for reject in reading.rejects])
    assert found == expected
    for reject in reading.rejects:
        raw = lines[reject.line - 1].decode(errors="replace")
        assert reject.raw == raw.replace("\0", "�")
        assert reject.reason
        assert reject.value.replace("�", "") in raw.replace("\0", "").replace('""', '"')


def _is_blank(line: bytes) -> bool:
    try:
        text = line.decode()
    except UnicodeDecodeError:
        return False
    return not text.strip() or text in (",,,", '"","","",""')


@pytest.mark.parametrize("length", [LONGEST_LINE - 1, LONGEST_LINE, LONGEST_LINE + 1, 3 * LONGEST_LINE])
@pytest.mark.parametrize("end", [b"\n", b"\r\n", b""])
@pytest.mark.parametrize("block_bytes", [1000, LONGEST_LINE, LONGEST_LINE + 1, 4 * LONGEST_LINE])
@pytest.mark.parametrize("quote", [b"", b'"'], ids=["plain", "quoted"])
def test_the_longest_line_is_the_same_wherever_it_lies(
    length: int, end: bytes, block_bytes: int, quote: bytes
) -> None:
    row = ROW.rstrip(b"\n").replace(b"aq_salvia", quote + b"aq_salvia" + quote)
    long = row + b" " * (length - len(row))
    reading = read(HEADER + ROW + long + end, block_bytes=block_bytes)
    assert [row.line for row in reading.rows] == ([2, 3] if length <= LONGEST_LINE else [2])
    assert [reject.line for reject in reading.rejects] == ([] if length <= LONGEST_LINE else [3])


@pytest.mark.parametrize(
    ("cell", "station"),
    [
        ('"a"', "a"),
        ('"a,b"', "a,b"),
        ('"a""b"', 'a"b'),
        ('""""', '"'),
        ('a"b"', 'a"b"'),
        ('a"b', 'a"b'),
        (' "a"', '"a"'),
    ],
)
def test_quotes_enclose_a_field_or_are_part_of_it(cell: str, station: str) -> None:
    # The same line twice makes the quotes even in number.
    line = f"2016-10-01 00:00:00,{cell},1,2\n".encode()
    for lines in (line, line * 2, line + ROW, line + b'"2016-10-01 00:00:00","b","1","2"\n'):
        assert read(HEADER + lines).stations[0] == station


@pytest.mark.parametrize("block_bytes", [1000, LONGEST_LINE + 1, 4 * LONGEST_LINE])
def test_an_overlong_line_that_would_be_cut_at_its_carriage_return_is_no_row(block_bytes: int) -> None:
    beginning = ROW.rstrip(b"\n").ljust(LONGEST_LINE) + b"\r"
    reading = read(HEADER + ROW + beginning + b"9" * 5000, block_bytes=block_bytes)
    assert [row.line for row in reading.rows] == [2]
    assert [reject.line for reject in reading.rejects] == [3]


def test_stations_are_known_by_their_first_row_that_loads() -> None:
    rows = b"2016-10-01 00:00:00,%b,%b,\n"
    data = HEADER + b"".join(
        rows % pair for pair in [(b"b", b"1"), (b"c", b"x"), (b"a", b"1"), (b" b ", b"2"), (b"c", b"3")]
    )
    reading = read(data)
    assert reading.stations == ["b", "a", "c"]
    assert [row.station for row in reading.rows] == ["b", "a", "b", "c"]


def test_a_station_without_any_good_row_is_not_known() -> None:
    assert read(HEADER + b"2016-10-01 00:00:00,a,x,\nnever,b,1,\n").stations == []


def test_marks_for_no_value_are_null_and_counted_in_rows_that_load() -> None:
    data = HEADER + (
        b"2016-10-01 00:00:00,a,-999,-200.0\n"
        b"2016-10-01 01:00:00,a,-9.99e2,NA\n"
        b"2016-10-01 02:00:00,a, na ,5\n"
        b"2016-10-01 03:00:00,a,-999,n/a\n"
        b"2016-10-01 04:00:00,a,7,\n"
    )
    reading = read(data, missing=[-999, -200, "NA"])
    assert [row.values for row in reading.rows] == [
        {"so2": "", "no2": ""},
        {"so2": "", "no2": ""},
        {"so2": "", "no2": bits(5.0)},
        {"so2": bits(7.0), "no2": ""},
    ]
    assert reading.missing == 5
    assert [reject.line for reject in reading.rejects] == [5]


def test_of_several_faults_in_a_row_the_first_one_is_told() -> None:
    [reject] = read(HEADER + b"never,,x,y\n").rejects
    assert (reject.field, reject.value) == ("TimeInstant", "never")


def test_times_without_a_zone_are_read_where_the_user_says() -> None:
    zone = ZoneInfo("Europe/Madrid")
    assert read(HEADER + ROW, timezone=zone).rows[0].time == 1475272800000
    assert read(HEADER + ROW, timezone=UTC).rows[0].time == 1475280000000


def test_a_header_that_says_utc_outdoes_the_users_zone() -> None:
    header = HEADER.replace(b"TimeInstant", b"Time (UTC)")
    assert read(header + ROW, timezone=ZoneInfo("Europe/Madrid")).rows[0].time == 1475280000000


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"], ids=["", "byte order mark"])
@pytest.mark.parametrize("line", [b"sep=;\n", b'"sep=;"\r\n', b"\nSEP=;\n\n", b"sep=,\n"])
@pytest.mark.parametrize("block_bytes", [1, 7, 1024])
def test_a_line_that_tells_the_separator_is_passed_over(mark: bytes, line: bytes, block_bytes: int) -> None:
    data = (HEADER + ROW).replace(b",", b";") + b"x\n"
    reading = read(mark + line + data, block_bytes=block_bytes)
    assert [(row.line, row.station) for row in reading.rows] == [(2 + line.count(b"\n"), "aq_salvia")]
    assert [reject.line for reject in reading.rejects] == [3 + line.count(b"\n")]


def test_the_separator_is_told_once() -> None:
    with pytest.raises(UnusableInput, match="columns found: sep="):
        read(b"sep=;\n" * 5000 + HEADER + ROW)


def test_a_station_column_of_unique_names_is_refused_in_bounded_memory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(reader_module, "MOST_STATIONS", 1000)
    rows = b"".join(b"2016-10-01 00:00:00,row %d,1,2\n" % number for number in range(2000))
    with pytest.raises(UnusableInput) as refusal:
        read(HEADER + rows, block_bytes=4096)
    assert str(refusal.value) == (
        "more than 1,000 different stations; is “id_entity” really the station's column?"
    )


class _Endless(io.RawIOBase):
    """A header, then lines made as they are read, up to some size."""

    def __init__(self, size: int, make: Callable[[int], bytes]) -> None:
        self._parts = self._make(size, make)
        self._rest = b""

    @staticmethod
    def _make(size: int, make: Callable[[int], bytes]) -> Iterator[bytes]:
        yield HEADER
        for number in itertools.count():
            line = make(number)
            size -= len(line)
            yield line
            if size < 0:
                return

    def read(self, size: int = -1) -> bytes:
        parts = [self._rest]
        length = len(self._rest)
        while length < size and (part := next(self._parts, b"")):
            parts.append(part)
            length += len(part)
        data = b"".join(parts)
        self._rest = data[size:]
        return data[:size]


@pytest.mark.parametrize(
    "make",
    [
        lambda number: b"2016-10-%02d 00:00:00,station %d,1.5,2\n" % (number % 28 + 1, number % 100),
        lambda number: b"2016-10-01 00:00:00,\x07%d,1.5,2\n" % number,
        lambda number: b"never %d,a,1.5,2\n" % number,
        lambda number: b"x" * 1000,
        lambda number: b"\n" * 100,
        lambda number: b"x\n" * 100,
    ],
    ids=["good", "bad stations", "bad times", "one line", "blank lines", "tiny lines"],
)
def test_memory_does_not_grow_with_the_file(make: Callable[[int], bytes]) -> None:
    def peak(size: int) -> int:
        tracemalloc.start()
        try:
            reader = Reader(_Endless(size, make), block_bytes=4096)  # type: ignore[arg-type]
            for _ in reader.batches():
                pass
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    peak(30_000)  # What is made once for the process is not counted.
    assert peak(120_000) < 1.1 * peak(30_000) + 10_000


def test_the_real_file_is_read_whole(real_csv: Path) -> None:
    data = real_csv.read_bytes()
    reading = read(data)
    with real_csv.open(newline="") as file:
        expected = [
            (
                row["id_entity"],
                f"{row['TimeInstant'].replace(' ', 'T')}Z",
                {n: bits(float(row[n])) if row[n] else "" for n in list(row)[2:]},
            )
            for row in csv.DictReader(file)
        ]
    assert len(expected) == 960
    found = [(s, format_instant(time), values) for s, time, values in reading.measurements()]
    assert found == expected
    assert reading == read(data, block_bytes=1000)
    assert (reading.rejects, reading.missing, reading.extra) == ([], 0, ())


def test_shortened_texts_show_that_something_is_left_out() -> None:
    assert shorten("abc", 3) == "abc"
    assert shorten("abcd", 3) == "ab…"
    assert shorten("a\0") == "a�"


def test_a_file_with_a_header_alone_gives_one_empty_batch() -> None:
    assert read(HEADER) == Reading()
    assert len(list(Reader(io.BytesIO(HEADER)).batches())) == 1
