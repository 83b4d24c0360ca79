"""A stream of bytes → blocks of whole lines that know their numbers, in constant memory."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import BinaryIO

BLOCK_BYTES = 4 * 1024 * 1024
"""Some 40,000 rows: large enough for whole-column work, small enough to hold a few of them."""

LONGEST_LINE = 64 * 1024
"""Bytes in a line; a measurement has some hundred. Of a longer line only the beginning is kept."""


@dataclass(frozen=True)
class Block:
    """Consecutive whole lines.

    Args:
        first_line: the number of its first line; a file's first line is 1.
        data: the lines with their ends; the file's last one may lack its end.
        overlong: it holds a line that was cut because it has more than `LONGEST_LINE` bytes.
    """

    first_line: int
    data: bytes
    overlong: bool = False

    @cached_property
    def _split(self) -> list[bytes]:
        return self.data.removesuffix(b"\n").split(b"\n") if self.data else []

    def lines(self) -> Iterator[tuple[int, bytes]]:
        """Return the number and the bytes of each line, without its end."""
        for number, line in enumerate(self._split, start=self.first_line):
            yield number, line.removesuffix(b"\r")

    def text_of(self, line: int) -> str:
        """Return one line's text, without its end."""
        raw = self._split[line - self.first_line]
        return raw.removesuffix(b"\r").decode(errors="replace")


def read_blocks(stream: BinaryIO, block_bytes: int = BLOCK_BYTES) -> Iterator[Block]:
    """Read a stream to its end; nothing for an empty one."""
    line, rest = 1, b""
    overlong = False
    while data := stream.read(block_bytes):
        head, newline, tail = data.rpartition(b"\n")
        if not newline:
            # No line ends here. What goes beyond the longest line is read and let go, but for one
            # byte by which it is still seen to be too long.
            rest += data
            overlong = overlong or len(rest) > LONGEST_LINE
            rest = rest[: LONGEST_LINE + 1]
            continue
        block = Block(line, rest + head + newline, overlong)
        if overlong:
            # The cut line goes on up to the first end of line in this read.
            _, _, behind = (head + newline).partition(b"\n")
            block = Block(line, rest + b"\n" + behind, overlong=True)
        yield block
        line += block.data.count(b"\n")
        rest, overlong = tail, len(tail) > LONGEST_LINE
        rest = rest[: LONGEST_LINE + 1] if overlong else rest
    if rest:
        yield Block(line, rest, overlong)
