"""CSV → batches of measurements and rejects, each with its line and reason, in constant memory."""

import csv
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, tzinfo
from typing import BinaryIO

import numpy as np

from airq.domain.errors import UnusableInput
from airq.ingest.cells import CellError, parse_station
from airq.ingest.columns import Floats, Ints, parse_instants, parse_numbers
from airq.ingest.header import Header, parse_header
from airq.ingest.lines import LONGEST_LINE, Block, read_blocks

DEFAULT_MISSING = (-999.0, -200.0)
"""Values that measuring networks write for "no value" (OpenAQ and EEA: −999; UCI AirQuality: −200)."""

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
        timezone: where times without a zone were read.
        missing: values that mean "no value".

    Raises:
        UnusableInput: by `batches`, where no measurement can be found in the file at all.
    """

    stream: BinaryIO
    timezone: tzinfo = UTC
    missing: Sequence[float] = DEFAULT_MISSING
    stations: list[str] = field(default_factory=list, init=False)
    """Names found so far; a batch's `stations` are indices into it."""
    _header: Header | None = field(default=None, init=False)
    _station_codes: dict[str, int] = field(default_factory=dict, init=False)

    @property
    def header(self) -> Header:
        """What the first line said; known once the first batch is read."""
        assert self._header is not None
        return self._header

    def batches(self) -> Iterator[Batch]:
        """Read the file from here to its end; a batch holds some ten thousand rows."""
        blocks = read_blocks(self.stream)
        first = next(blocks, None)
        if first is None:
            raise UnusableInput("it is empty; a header line and measurements are needed")
        self._header, rest = _split_header(first)
        yield self._parse(rest)
        for block in blocks:
            yield self._parse(block)

    def _parse(self, block: Block) -> Batch:
        width = len(self.header.names)
        rejects: dict[int, Reject] = {}
        fields = _split_regular(block, self.header.separator, width)
        if fields is None:
            lines, fields = self._split_each(block, width, rejects)
        else:
            lines = np.arange(block.first_line, block.first_line + len(fields[0]), dtype=np.int64)
        if not len(lines):
            values = {name: np.empty(0) for name in self.header.pollutants}
            nothing = np.empty(0, np.int64)
            return Batch(nothing, nothing, nothing, values, list(rejects.values()), 0)

        def refuse_in(column: int) -> Callable[[int, str], None]:
            def refuse(row: int, reason: str) -> None:
                line = int(lines[row])
                rejects.setdefault(
                    line,
                    Reject(
                        line,
                        shorten(block.text_of(line)),
                        self.header.names[column],
                        shorten(fields[column][row], 200),
                        reason,
                    ),
                )

            return refuse

        time, station = self.header.time, self.header.station
        times = parse_instants(fields[time], self.timezone, refuse_in(time))
        stations = self._codes(fields[station], refuse_in(station))
        missing = 0
        values = {}
        for name, column in self.header.pollutants.items():
            numbers = parse_numbers(fields[column], refuse_in(column))
            for mark in self.missing:
                marked = numbers == mark
                count = int(np.count_nonzero(marked))
                if count:
                    missing += count
                    numbers[marked] = np.nan
            values[name] = numbers
        if rejects:
            good = ~np.isin(lines, np.fromiter(rejects, np.int64, len(rejects)))
            lines, stations, times = lines[good], stations[good], times[good]
            values = {name: numbers[good] for name, numbers in values.items()}
        ordered = [rejects[line] for line in sorted(rejects)]
        return Batch(lines, stations, times, values, ordered, missing)

    def _codes(self, names: Sequence[str], refuse: Callable[[int, str], None]) -> Ints:
        """Return each row's index into `stations`; an impossible name is refused and gets −1."""
        codes = self._station_codes
        for name in set(names) - codes.keys():
            try:
                station = parse_station(name)
            except CellError:
                codes[name] = -1
                continue
            if station not in codes:
                codes[station] = len(self.stations)
                self.stations.append(station)
            codes[name] = codes[station]
        if len(self.stations) > MOST_STATIONS:
            raise UnusableInput(
                f"more than {MOST_STATIONS:,} different stations; "
                f"is “{self.header.names[self.header.station]}” really the station's column?"
            )
        result = np.array([codes[name] for name in names], np.int64)
        for row in np.flatnonzero(result < 0):
            try:
                parse_station(names[row])
            except CellError as error:
                refuse(int(row), str(error))
        return result

    def _split_each(
        self, block: Block, width: int, rejects: dict[int, Reject]
    ) -> tuple[Ints, list[Sequence[str]]]:
        """Split a block line by line, refusing the lines that are not rows of the header's width."""
        numbers, rows = [], []
        for number, raw in block.lines():
            try:
                row = _split_line(raw, self.header.separator, width)
            except CellError as error:
                text = shorten(raw.decode(errors="replace"))
                rejects[number] = Reject(number, text, "", "", str(error))
                continue
            if row:
                numbers.append(number)
                rows.append(row)
        columns: list[Sequence[str]] = list(zip(*rows, strict=True))
        return np.array(numbers, np.int64), columns


def _split_header(block: Block) -> tuple[Header, Block]:
    """Find the header behind blank lines and a byte order mark; return it and the rest."""
    data, first_line = block.data, block.first_line
    for mark, encoding in (
        (b"\xff\xfe", "UTF-16"),
        (b"\xfe\xff", "UTF-16"),
        (b"PK\x03\x04", "zip"),
    ):
        if data.startswith(mark):
            kind = "a zip archive or spreadsheet" if encoding == "zip" else f"{encoding} text"
            raise UnusableInput(f"it is {kind}; save it as CSV in UTF-8")
    if data.startswith(b"\xef\xbb\xbf"):
        data = data[3:]
    while True:
        line, newline, data = data.partition(b"\n")
        if line.strip() or not newline:
            break
        first_line += 1
    if not line.strip():
        raise UnusableInput("it is empty; a header line and measurements are needed")
    if b"\0" in line:
        raise UnusableInput("the header has a NUL byte; it is no CSV, or UTF-16: save it as UTF-8")
    try:
        header = parse_header(line.removesuffix(b"\r").decode())
    except UnicodeDecodeError as error:
        raise UnusableInput(
            f"the header is not UTF-8 (byte 0x{line[error.start]:02x} at position {error.start + 1}); "
            "save the file as CSV in UTF-8"
        ) from None
    return header, Block(first_line + 1, data, block.overlong)


def _split_regular(block: Block, separator: str, width: int) -> list[Sequence[str]] | None:
    """Split a block without quotes whose lines all have the same number of fields, all at once."""
    data = block.data
    if block.overlong or not data or b'"' in data or b"\0" in data:
        return None
    if b"\r" in data:
        data = data.replace(b"\r\n", b"\n")
        if b"\r" in data:
            return None
    data = data.removesuffix(b"\n")
    characters = np.frombuffer(data, np.uint8)
    ends = np.flatnonzero(characters == ord("\n"))
    separators = np.flatnonzero(characters == ord(separator))
    rows = len(ends) + 1
    if len(separators) != rows * (width - 1) or width < 2:
        return None
    # The n-th line's separators must lie between its ends; the total alone can hide two wrong lines.
    by_line = separators.reshape(rows, width - 1)
    if (by_line[:-1, -1] > ends).any() or (by_line[1:, 0] < ends).any():
        return None
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return None
    cells = text.replace("\n", separator).split(separator)
    return [cells[column::width] for column in range(width)]


def _split_line(raw: bytes, separator: str, width: int) -> list[str]:
    """Split one line into its fields; none for a blank line.

    Raises:
        CellError: it is no row of the header's width.
    """
    if len(raw) > LONGEST_LINE:
        raise CellError(f"the line has more than {LONGEST_LINE:,} bytes")
    if b"\0" in raw:
        raise CellError("the line has a NUL byte; the file is damaged here")
    try:
        text = raw.decode()
    except UnicodeDecodeError as error:
        raise CellError(
            f"not UTF-8 (byte 0x{raw[error.start]:02x} at position {error.start + 1}); "
            "save the file as CSV in UTF-8"
        ) from None
    if "\r" in text:
        raise CellError("a CR inside of the line")
    if not text.strip():
        return []
    try:
        [row] = csv.reader([text], delimiter=separator, strict=True)
    except csv.Error:
        raise CellError(
            "a quoted field does not end on its line, or goes on behind its closing quote"
        ) from None
    if len(row) != width:
        raise CellError(f"{len(row)} fields; the header has {width}")
    return row


def shorten(text: str, most: int = 1000) -> str:
    """Return a text of at most so many characters, without NUL, which PostgreSQL can't store."""
    text = text.replace("\0", "�").encode(errors="replace").decode()
    return text if len(text) <= most else f"{text[: most - 1]}…"
