"""Blocks of lines → tables whose rows all have the header's number of fields, still as bytes.

A block whose lines are all plain rows is a table as it stands. In any other block the odd lines (with
quotes, with too many fields, damaged, blank) are taken one by one and put back as plain rows or
refused, and the others stay what they are.
"""

import csv
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from airq.ingest.lines import LONGEST_LINE, Block

Ints = npt.NDArray[np.int64]
Bytes = npt.NDArray[np.uint8]

# No line with this character is taken, so that it can part fields that hold the file's own separator.
_SURE_SEPARATOR = b"\0"


@dataclass(frozen=True, eq=False)
class Table:
    """n rows of k fields.

    Args:
        lines: (n,) line numbers.
        data: the rows' text in UTF-8, each row with a newline at its end.
        separator: the byte between fields.
        ends: (n, k) where in `data` each field ends, which is where its separator or newline is.
    """

    lines: Ints
    data: bytes
    separator: bytes
    ends: Ints

    def __len__(self) -> int:
        return len(self.lines)

    @cached_property
    def characters(self) -> Bytes:
        """The bytes of `data`."""
        return np.frombuffer(self.data, np.uint8)

    @cached_property
    def starts(self) -> Ints:
        """(n, k): where in `data` each field starts."""
        starts = np.empty_like(self.ends)
        starts.ravel()[:1] = 0
        starts.ravel()[1:] = self.ends.ravel()[:-1] + 1
        return starts

    def only(self, wanted: npt.NDArray[np.bool_]) -> "Table":
        """Return the rows where `wanted`, (n,), is true."""
        lengths = self.ends[:, -1] - self.starts[:, 0] + 1
        data = self.characters[np.repeat(wanted, lengths)].tobytes()
        removed = np.cumsum(np.where(wanted, 0, lengths))
        ends = (self.ends - removed[:, np.newaxis])[wanted]
        return Table(self.lines[wanted], data, self.separator, ends)

    def text(self, row: int, column: int) -> str:
        """Return one field."""
        return self.data[self.starts[row, column] : self.ends[row, column]].decode()

    def cut(self, columns: Sequence[int]) -> bytes:
        """Return the fields of some columns, row by row, each with the separator or newline behind it."""
        wanted = np.zeros(self.ends.shape[1], np.bool_)
        wanted[list(columns)] = True
        # Neighboring columns are kept or dropped as one.
        last = np.flatnonzero(np.diff(wanted, append=~wanted[-1:]))
        ends = self.ends[:, last]
        keep = np.repeat(np.broadcast_to(wanted[last], ends.shape).ravel(), np.diff(ends.ravel(), prepend=-1))
        return self.characters[keep].tobytes()

    def texts(self, column: int) -> list[str]:
        """Return the fields of one column."""
        return self.cut([column]).replace(self.separator, b"\n").decode().split("\n")[:-1]


def read_table(block: Block, separator: str, width: int, refuse: Callable[[int, str], None]) -> Table:
    """Split a block into fields.

    Args:
        block: lines of the file below its header.
        separator: the character between fields.
        width: the header's number of fields, at least 2.
        refuse: told the line number and the reason of each line that is no row of this width.
    """
    data = block.data
    if data and not data.endswith(b"\n"):
        data += b"\n"
    if b"\r" in data:
        data = data.replace(b"\r\n", b"\n")
    mark = separator.encode()
    if b'"' in data:
        data = _without_quotes(data, mark)
    if not any(strange in data for strange in (b'"', b"\0", b"\r")) and _is_text(data):
        ends = _find_ends(data, mark, width)
        if ends is not None:
            rows = np.arange(len(ends), dtype=np.int64)
            return _without_empty_rows(Table(block.first_line + rows, data, mark, ends))

    def refuse_row(row: int, reason: str) -> None:
        refuse(block.first_line + row, reason)

    rows, data = _make_plain(data, separator, width, refuse_row)
    ends = _find_ends(data, _SURE_SEPARATOR, width)
    assert ends is not None
    return _without_empty_rows(Table(block.first_line + rows, data, _SURE_SEPARATOR, ends))


def _without_empty_rows(table: Table) -> Table:
    """Leave out rows of nothing but separators, which spreadsheets write below their last row."""
    filled = table.ends[:, -1] - table.starts[:, 0] >= table.ends.shape[1]
    return table if filled.all() else table.only(filled)


def _is_text(data: bytes) -> bool:
    if data.isascii():
        return True
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def _find_ends(data: bytes, separator: bytes, width: int) -> Ints | None:
    """Return the (n, width) places of fields' ends, or None if any line is no row of this width."""
    characters = np.frombuffer(data, np.uint8)
    is_newline = characters == ord("\n")
    places = np.flatnonzero(is_newline | (characters == ord(separator)))
    rows, left = divmod(len(places), width)
    # With as many newlines as rows, and one behind each row's last field, none is elsewhere.
    if left or np.count_nonzero(is_newline) != rows:
        return None
    ends = places.reshape(rows, width)
    if not is_newline[ends[:, -1]].all():
        return None
    if (np.diff(ends[:, -1], prepend=-1) > LONGEST_LINE + 1).any():
        return None
    return ends


def _without_quotes(data: bytes, separator: bytes) -> bytes:
    """Take out the quotes if all of them enclose whole fields that do not need them."""
    characters = np.frombuffer(data, np.uint8)
    is_newline = characters == ord("\n")
    is_end = is_newline | (characters == ord(separator))
    ends, quotes = np.flatnonzero(is_end), np.flatnonzero(characters == ord('"'))
    opening, closing = quotes[0::2], quotes[1::2]
    if (
        len(opening) == len(closing)
        and is_end[opening - 1].all()  # The one before the first byte is the last: a newline.
        and is_end[closing + 1].all()
        and (np.searchsorted(ends, opening) == np.searchsorted(ends, closing)).all()
        and (np.diff(np.flatnonzero(is_newline), prepend=-1) <= LONGEST_LINE + 1).all()
    ):
        return data.replace(b'"', b"")
    return data


def _make_plain(
    data: bytes, separator: str, width: int, refuse: Callable[[int, str], None]
) -> tuple[Ints, bytes]:
    """Return which lines are rows, and these as plain rows with the sure separator."""
    characters = np.frombuffer(data, np.uint8)
    ends = np.flatnonzero(characters == ord("\n"))
    starts = np.concatenate((np.zeros(1, np.int64), ends + 1))[:-1]
    separators = np.flatnonzero(characters == ord(separator))
    strange = (characters == ord('"')) | (characters == 0) | (characters == ord("\r"))
    if not _is_text(data):
        strange |= characters >= 0x80
    odd = np.diff(np.searchsorted(separators, ends), prepend=0) != width - 1
    odd |= ends - starts > LONGEST_LINE
    odd[np.searchsorted(ends, np.flatnonzero(strange))] = True
    odd_rows = np.flatnonzero(odd)
    bounds = list(zip(starts[odd].tolist(), ends[odd].tolist(), strict=True))
    rows = dict(zip(odd_rows.tolist(), (data[start:end] for start, end in bounds), strict=True))
    taken = _split_lines(rows, separator, width, refuse)
    plain = data.replace(separator.encode(), _SURE_SEPARATOR)
    parts, done = [], 0
    for row, (start, end) in zip(rows, bounds, strict=True):
        parts.append(plain[done:start])
        if row in taken:
            parts.append(b"%b\n" % "\0".join(taken[row]).encode())
        done = end + 1
    parts.append(plain[done:])
    odd[list(taken)] = False
    return np.flatnonzero(~odd), b"".join(parts)


def _split_lines(
    raws: dict[int, bytes], separator: str, width: int, refuse: Callable[[int, str], None]
) -> dict[int, list[str]]:
    """Split odd lines, given and returned by row; refuse those that are neither rows nor blank."""
    texts = {}
    for row, raw in raws.items():
        if len(raw) > LONGEST_LINE:
            refuse(row, f"the line has more than {LONGEST_LINE:,} bytes; no measurement has")
            continue
        try:
            text = raw.decode()
        except UnicodeDecodeError as error:
            place = f"byte 0x{raw[error.start]:02x} at position {error.start + 1}"
            refuse(row, f"not UTF-8 but perhaps Latin-1 ({place}); save the file as CSV in UTF-8")
            continue
        if not text or text.isspace():
            continue
        if "\0" in text:
            refuse(row, "the line has a NUL byte; the file is damaged here")
        elif "\r" in text:
            refuse(row, "a CR inside of the line; end lines with LF or CRLF")
        else:
            texts[row] = text
    taken = {}
    split = _split_quoted(list(texts.values()), separator)
    for row, fields in zip(texts, split, strict=True):
        if fields is None:
            refuse(row, "a quoted field does not end on its line, or goes on behind its closing quote")
        elif len(fields) == width:
            taken[row] = fields
        else:
            reason = f"{len(fields)} fields, but the header has {width}"
            if separator == "," and len(fields) > width:
                reason += "; is there a decimal comma, or a comma in a text without quotes?"
            refuse(row, reason)
    return taken


def _split_quoted(texts: Sequence[str], separator: str) -> list[list[str] | None]:
    """Split lines that are not blank; None where the quotes are wrong."""
    try:
        rows = list(csv.reader(texts, delimiter=separator, strict=True))
    except csv.Error:
        rows = []
    # With fewer rows than lines, a quoted field went on over the end of its line.
    if len(rows) == len(texts):
        return list(rows)
    results: list[list[str] | None] = []
    for text in texts:
        try:
            [fields] = csv.reader([text], delimiter=separator, strict=True)
        except csv.Error:
            fields = None
        results.append(fields)
    return results
