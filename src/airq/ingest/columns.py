"""Whole columns of text → numpy arrays: fast where cells are regular, exact cell by cell elsewhere.

A fast path takes the cells that it is sure of and leaves each other one to the definition in `cells` and
`airq.domain.instants`; where it takes one, both give the same result.
"""

import re
from collections.abc import Callable, Collection, Sequence
from datetime import UTC, timedelta, tzinfo
from functools import lru_cache

import msgspec
import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import sliding_window_view

from airq.domain.instants import (
    EARLIEST,
    END,
    EPOCH,
    INSTANT_FORM,
    UnreadableInstant,
    local_offset,
    parse_instant,
    parse_offset,
)
from airq.ingest.cells import CellError, parse_number
from airq.ingest.table import Bytes, Ints, Table

Floats = npt.NDArray[np.float64]
Booleans = npt.NDArray[np.bool_]
Refuse = Callable[[int, int, str], None]
"""Called with a row, a column and the reason why its cell is impossible."""

_decode_numbers = msgspec.json.Decoder(list[float]).decode

_PLAIN = np.zeros(256, np.bool_)
_PLAIN[list(b"0123456789+-.eE")] = True
"""The bytes of usual numbers."""


def parse_numbers(
    table: Table, columns: Sequence[int], marks: Collection[float | str], refuse: Refuse
) -> tuple[Floats, Booleans]:
    """Read the measured values of some columns.

    Args:
        table: n rows.
        columns: which k of its columns, ascending.
        marks: numbers, and texts in lower case, that mean "no value".
        refuse: told of each cell that is not a finite number; its value in the result means nothing.

    Returns:
        (n, k) doubles, NaN where there is no value; and (n, k), true where a mark said so.
    """
    cells = table.cut(columns)
    shape = len(table), len(columns)
    count = len(table) * len(columns)
    values = _decode(cells, table.separator, count)
    odd: Sequence[int] = ()
    if values is None:
        plain, odd = _set_apart(cells, table.separator)
        values = _decode(plain, table.separator, count)
        if values is None:
            values, odd = np.empty(count), range(count)
    marked = np.zeros(count, np.bool_)
    if odd:
        texts = cells.replace(table.separator, b"\n").decode().split("\n")
        for place in odd:
            values[place] = np.nan
            try:
                value = parse_number(texts[place])
            except CellError as error:
                if texts[place].strip().lower() in marks:
                    marked[place] = True
                else:
                    row, column = divmod(place, len(columns))
                    refuse(row, columns[column], str(error))
            else:
                if value is not None:
                    values[place] = value
    for mark in marks:
        if isinstance(mark, float):
            marked |= values == mark
    values[marked] = np.nan
    return values.reshape(shape), marked.reshape(shape)


def _decode(cells: bytes, separator: bytes, count: int) -> Floats | None:
    """Read cells, or return None if any is neither empty nor a number of JSON's form.

    Such numbers are a strict subset of those that airq reads, and msgspec rounds them exactly.
    """
    if not count:
        return np.empty(0)
    text = cells.replace(b"\n", b",")
    if separator != b",":
        text = text.replace(separator, b",")
    gaps = text.startswith(b",") or b",," in text
    if gaps:
        # Twice, because the second of two neighboring gaps begins with the comma that ends the first.
        text = (b"," + text).replace(b",,", b",0,").replace(b",,", b",0,")[1:]
    try:
        numbers = _decode_numbers(b"".join((b"[", memoryview(text)[:-1], b"]")))
    except msgspec.DecodeError:
        return None
    if len(numbers) != count:  # A cell held a comma.
        return None
    values = np.fromiter(numbers, np.float64, count)
    values += 0.0  # Zero has no sign.
    if gaps:
        _, lengths = _bounds(cells, separator)
        values[lengths == 0] = np.nan
    return values


def _set_apart(cells: bytes, separator: bytes) -> tuple[bytes, list[int]]:
    """Put a zero for each cell with characters that no usual number has; return these cells' places."""
    ends, lengths = _bounds(cells, separator)
    plain = _PLAIN[np.frombuffer(cells, np.uint8)]
    plain[ends] = True
    odd = np.unique(np.searchsorted(ends, np.flatnonzero(~plain)))
    changed = bytearray(cells)
    for end, length in zip(ends[odd].tolist(), lengths[odd].tolist(), strict=True):
        changed[end - length : end] = b"0".ljust(length)
    return bytes(changed), odd.tolist()


def _bounds(cells: bytes, separator: bytes) -> tuple[Ints, Ints]:
    """Return where each cell ends, and its length."""
    characters = np.frombuffer(cells, np.uint8)
    ends = np.flatnonzero((characters == ord("\n")) | (characters == ord(separator)))
    return ends, np.diff(ends, prepend=-1) - 1


def parse_instants(table: Table, column: int, timezone: tzinfo, refuse: Refuse) -> Ints:
    """Read a column of times.

    Args:
        table: n rows.
        column: which of its columns.
        timezone: where times without a zone were read.
        refuse: told of each cell that is not a time; its value in the result means nothing.

    Returns:
        n times in milliseconds since 1970-01-01T00:00:00Z.
    """
    instants = np.zeros(len(table), np.int64)
    odd = np.ones(len(table), np.bool_)
    starts = table.starts[:, column]
    lengths = table.ends[:, column] - starts
    for length in np.flatnonzero(np.bincount(lengths)).tolist():
        rows = np.flatnonzero(lengths == length)
        # One cell's form is tried on all of the same length; a damaged one is no example.
        for example in (rows[0], rows[len(rows) // 2], rows[-1]):
            form = INSTANT_FORM.fullmatch(table.text(example, column))
            if form is not None and form["time"] is not None:
                alike = sliding_window_view(table.characters, length)[starts[rows]]
                instants[rows], sure = _parse_alike_instants(alike, form, timezone)
                odd[rows] = ~sure
                break
    for row in np.flatnonzero(odd).tolist():
        try:
            instants[row] = parse_instant(table.text(row, column), timezone)
        except UnreadableInstant as error:
            refuse(row, column, str(error))
    return instants


_DAYS_IN_MONTH = np.array([31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31], np.int64)


def _parse_alike_instants(cells: Bytes, form: re.Match[str], timezone: tzinfo) -> tuple[Ints, Booleans]:
    """Read times by arithmetic on their digits.

    Args:
        cells: (n, length) characters.
        form: that of one of these cells.

    Returns:
        (n,) milliseconds since 1970, and (n,) where they are sure: the cell has this very form, and
        what it says is neither impossible nor a special case.
    """
    example = np.frombuffer(form.string.encode(), np.uint8)
    is_digit = np.zeros(len(example), np.bool_)
    for part in ("date", "time", "fraction"):
        is_digit[slice(*form.span(part))] = form[part] is not None
    is_digit &= (example >= ord("0")) & (example <= ord("9"))
    sure = (cells.T[~is_digit] == example[~is_digit, np.newaxis]).all(axis=0)
    digits = cells.T[is_digit] - np.uint8(ord("0"))  # Wraps far above 9 for anything else.
    sure &= (digits <= 9).all(axis=0)

    def number(first: int, count: int) -> Ints:
        total = np.zeros(len(cells), np.int64)
        for digit in digits[first : first + count]:
            total = total * 10 + digit
        return total

    year, month, day = number(0, 4), number(4, 2), number(6, 2)
    hour, minute = number(8, 2), number(10, 2)
    second = number(12, 2)
    millisecond = number(14, 3) * 10 ** (3 - len(digits[14:17]))
    leap = (year % 4 == 0) & ((year % 100 != 0) | (year % 400 == 0))
    sure &= (month >= 1) & (month <= 12)
    sure &= (day >= 1) & (day <= _DAYS_IN_MONTH[(month - 1) % 12] + (leap & (month == 2)))
    sure &= (hour < 24) & (minute < 60) & (second < 60)
    months = ((year - 1970) * 12 + month - 1).astype("datetime64[M]")
    days = months.astype("datetime64[D]").astype(np.int64) + day - 1
    local = ((days * 24 + hour) * 60 + minute) * 60_000 + second * 1000 + millisecond
    if form["zone"]:
        try:
            instants = local - _milliseconds(parse_offset(form["zone"]))
        except UnreadableInstant:
            return local, np.zeros(len(cells), np.bool_)
    elif timezone is UTC:
        instants = local
    else:
        # A zone's offset is looked up once a day; on the days when it changes it depends on the hour.
        days, places = np.unique(np.where(sure, days, 0), return_inverse=True)
        offsets = [_offset_all_day(int(day), timezone) for day in days]
        changes = np.array([offset is None for offset in offsets], np.bool_)
        ahead = np.array([offset or 0 for offset in offsets], np.int64)
        instants = local - ahead[places]
        sure &= ~changes[places]
    return instants, sure & (instants >= EARLIEST) & (instants < END)


@lru_cache(maxsize=4096)
def _offset_all_day(day: int, timezone: tzinfo) -> int | None:
    """Return by how many milliseconds a zone is ahead of UTC on a day, or None if that changes.

    None, too, for a day at the ends of the calendar, where no zone is known and no time is taken.
    """
    try:
        midnight = EPOCH.replace(tzinfo=None) + timedelta(days=day)
        offset = local_offset(midnight, timezone)
        # No zone's clocks change twice within a day.
        if offset == local_offset(midnight + timedelta(days=1), timezone):
            return _milliseconds(offset)
    except (UnreadableInstant, OverflowError):
        pass
    return None


def _milliseconds(offset: timedelta) -> int:
    return offset // timedelta(milliseconds=1)
