"""CSV → batches of measurements and rejects, each with its line and reason, in constant memory."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, tzinfo
from itertools import chain, compress
from typing import BinaryIO

import numpy as np

from airq.domain.errors import UnusableInput
from airq.ingest.cells import CellError, parse_station
from airq.ingest.columns import Floats, Refuse, parse_instants, parse_numbers
from airq.ingest.foreign import what_instead_of_csv
from airq.ingest.header import Header, parse_header
from airq.ingest.lines import BLOCK_BYTES, LONGEST_LINE, Block, read_blocks
from airq.ingest.table import Ints, read_table

DEFAULT_MISSING = (-999.0, -200.0)
"""Values that measuring networks write for "no value" (OpenAQ and EEA: −999; UCI AirQuality: −200)."""

_SEPARATOR_LINE = re.compile(rb'"?sep=[,;\t]"?\s*', re.IGNORECASE)
"""The header itself shows which separator it is."""

MOST_STATIONS = 100_000
"""More different names than this in one file: its station column is something else."""


@dataclass(frozen=True)
class Reject:
    """A row that can't be taken.

    Args:
        line: its line in the file, the header's being 1.
        raw: the line's text, shortened where it is very long.
        field: the column as the file names it; empty where the line as a whole is at fault.
        value: the cell's text, shortened where it is long.
        reason: what is wrong with it and what would be right.
    """

    line: int
    raw: str
    field: str
    value: str
    reason: str


@dataclass(frozen=True)
class Batch:
    """n measurements in the order of the file, and what was found beside them.

    Args:
        lines: (n,) line numbers.
        stations: (n,) indices into `Reader.stations`.
        times: (n,) milliseconds since 1970-01-01T00:00:00Z.
        values: pollutant name → (n,) doubles, NaN where there is none; a column that the file
            lacks is not there.
        rejects: rows of this part of the file that can't be taken, by line.
        missing: cells that held a mark for "no value", such as −999.
    """

    lines: Ints
    stations: Ints
    times: Ints
    values: dict[str, Floats]
    rejects: list[Reject]
    missing: int

    @property
    def rows_read(self) -> int:
        """Rows of the file behind this batch, good and bad."""
        return len(self.lines) + len(self.rejects)


@dataclass
class Reader:
    """Reads one CSV.

    Args:
        stream: the file's bytes, unpacked.
        timezone: where times without a zone were read, unless the header says UTC.
        missing: numbers and texts that mean "no value".
        block_bytes: how much is read at a time.

    Raises:
        UnusableInput: by `batches`, where no measurement can be found in the file at all.
    """

    stream: BinaryIO
    timezone: tzinfo = UTC
    missing: Sequence[float | str] = DEFAULT_MISSING
    block_bytes: int = BLOCK_BYTES
    stations: list[str] = field(default_factory=list, init=False)
    """Names found so far, by their first row; a batch's `stations` are indices into it."""
    _header: Header | None = field(default=None, init=False)
    _codes: dict[str, int] = field(default_factory=dict, init=False)
    """Each spelling of a station found so far → its index in `stations`."""
    _marks: frozenset[float | str] = field(init=False)

    def __post_init__(self) -> None:
        self._marks = frozenset(
            mark.strip().lower() if isinstance(mark, str) else float(mark) for mark in self.missing
        )

    @property
    def header(self) -> Header:
        """What the first line said; known once the first batch is read."""
        assert self._header is not None
        return self._header

    def batches(self) -> Iterator[Batch]:
        """Read the file from here to its end; a batch holds some ten thousand rows."""
        blocks = read_blocks(self.stream, self.block_bytes)
        self._header, rest = _find_header(blocks)
        if self._header.time_is_utc:
            self.timezone = UTC
        yield self._parse(rest)
        for block in blocks:
            yield self._parse(block)

    def _parse(self, block: Block) -> Batch:
        header = self.header
        rejects: dict[int, Reject] = {}

        def refuse_line(line: int, reason: str) -> None:
            rejects[line] = Reject(line, shorten(block.text_of(line)), "", "", reason)

        def refuse(row: int, column: int, reason: str) -> None:
            line = int(table.lines[row])
            if line not in rejects:
                raw, value = shorten(block.text_of(line)), shorten(table.text(row, column), 200)
                rejects[line] = Reject(line, raw, header.names[column], value, reason)

        table = read_table(block, header.separator, len(header.names), refuse_line)
        times = parse_instants(table, header.time, self.timezone, refuse)
        names = table.texts(header.station)
        self._check_stations(names, refuse)
        columns = sorted(header.pollutants.values())
        numbers, marked = parse_numbers(table, columns, self._marks, refuse)
        lines = table.lines
        if rejects:
            good = ~np.isin(lines, np.fromiter(rejects, np.int64, len(rejects)))
            lines, times, numbers, marked = lines[good], times[good], numbers[good], marked[good]
            names = list(compress(names, good.tolist()))
        return Batch(
            lines,
            self._encode(names),
            times,
            {name: numbers[:, columns.index(place)] for name, place in header.pollutants.items()},
            [rejects[line] for line in sorted(rejects)],
            int(np.count_nonzero(marked)),
        )

    def _check_stations(self, names: Sequence[str], refuse: Refuse) -> None:
        """Refuse the rows whose station's name is impossible."""
        faults = {}
        for name in set(names) - self._codes.keys():
            try:
                parse_station(name)
            except CellError as error:
                faults[name] = str(error)
        if faults:
            for row, name in enumerate(names):
                if name in faults:
                    refuse(row, self.header.station, faults[name])

    def _encode(self, names: Sequence[str]) -> Ints:
        """Return each row's index into `stations`, which learns the names that are new."""
        codes = self._codes
        for name in dict.fromkeys(names):
            if name not in codes:
                station = parse_station(name)
                if station not in codes:
                    codes[station] = len(self.stations)
                    self.stations.append(station)
                codes[name] = codes[station]
        if len(codes) > MOST_STATIONS:
            raise UnusableInput(
                f"more than {MOST_STATIONS:,} different stations; "
                f"is “{self.header.names[self.header.station]}” really the station's column?"
            )
        return np.fromiter(map(codes.__getitem__, names), np.int64, len(names))


def _find_header(blocks: Iterator[Block], *, behind_separator: bool = False) -> tuple[Header, Block]:
    """Find the header; return it and the rest of its block.

    Before it may stand a byte order mark, blank lines, and `sep=;`, by which Excel knows the separator.
    """
    for block in blocks:
        data = block.data.removeprefix(b"\xef\xbb\xbf") if block.first_line == 1 else block.data
        below = data.lstrip()
        if below:
            break
    else:
        raise UnusableInput("it is empty; a header line and measurements are needed")
    start = data.rfind(b"\n", 0, len(data) - len(below)) + 1
    line, _, rest = data[start:].partition(b"\n")
    line_number = block.first_line + data.count(b"\n", 0, start)
    otherwise = what_instead_of_csv(line)
    if otherwise:
        raise UnusableInput(otherwise)
    if _SEPARATOR_LINE.fullmatch(line) and not behind_separator:
        return _find_header(chain([Block(line_number + 1, rest)], blocks), behind_separator=True)
    line = line.removesuffix(b"\r")
    if len(line) > LONGEST_LINE and b"\r" not in line:
        raise UnusableInput(
            f"its first line has more than {LONGEST_LINE:,} bytes; it must name the columns, "
            "as in TimeInstant,id_entity,so2,no2"
        )
    try:
        header = parse_header(line.decode())
    except UnicodeDecodeError as error:
        raise UnusableInput(
            f"its first line is not UTF-8 but perhaps Latin-1 (byte 0x{line[error.start]:02x} at "
            f"position {error.start + 1}); save it as CSV in UTF-8"
        ) from None
    return header, Block(line_number + 1, rest)


def shorten(text: str, most: int = 1000) -> str:
    """Return a text of at most so many characters, without NUL, which PostgreSQL can't store."""
    text = text if len(text) <= most else f"{text[: most - 1]}…"
    return text.replace("\0", "�")
