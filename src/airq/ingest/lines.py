"""A stream of bytes → blocks of whole lines that know their numbers, in constant memory."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import BinaryIO

import numpy as np

BLOCK_BYTES = 1024 * 1024
"""Some 10,000 rows: large enough for whole-column work, small enough to hold a few of them."""

MOST_LINES = 100_000
"""Lines in a block; a file of very short lines would otherwise give millions of rejects at once."""

LONGEST_LINE = 64 * 1024
"""Bytes in a line; a measurement has some hundred. Of a longer line some middle part may be lost."""


@dataclass(frozen=True)
class Block:
    """Consecutive whole lines.

    Args:
        first_line: the number of its first line; a file's first line is 1.
        data: the lines with their ends; the file's last one may lack its end.
    """

    first_line: int
    data: bytes

    @cached_property
    def line_ends(self) -> int:
        """How many of its lines have an end: all but, perhaps, the file's last one."""
        return int(np.count_nonzero(np.frombuffer(self.data, np.uint8) == ord("\n")))

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


def read_blocks(
    stream: BinaryIO, block_bytes: int = BLOCK_BYTES, most_lines: int = MOST_LINES
) -> Iterator[Block]:
    """Read a stream to its end; nothing for an empty one.

    Args:
        stream: bytes, whose lines end with LF or CRLF.
        block_bytes: how much is read at a time.
        most_lines: how many lines a block may have.
    """
    line, rest = 1, b""
    while data := stream.read(block_bytes):
        end = data.rfind(b"\n") + 1
        if end:
            block = Block(line, b"".join((rest, memoryview(data)[:end])))
            yield from _portions(block, most_lines)
            line += block.line_ends
            rest = data[end:]
        else:
            # No line ends here. What is kept of one without end is enough to see that it is too
            # long, even where the last byte kept is a CR.
            rest = (rest + data)[: LONGEST_LINE + 2]
    if rest:
        yield Block(line, rest)


def _portions(block: Block, most_lines: int) -> Iterator[Block]:
    """Halve a block until no part has too many lines."""
    if block.line_ends <= max(most_lines, 1):
        yield block
        return
    middle = block.data.find(b"\n", len(block.data) // 2) + 1
    if middle == len(block.data):
        middle = block.data.rfind(b"\n", 0, -1) + 1
    first = Block(block.first_line, block.data[:middle])
    yield from _portions(first, most_lines)
    yield from _portions(Block(first.first_line + first.line_ends, block.data[middle:]), most_lines)
