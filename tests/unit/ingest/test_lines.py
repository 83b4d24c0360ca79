"""Blocks of whole lines."""

import io

from hypothesis import example, given
from hypothesis import strategies as st

from airq.ingest.lines import LONGEST_LINE, read_blocks
from tests.unit.ingest.reading import THOROUGH

TEXTS = st.lists(st.sampled_from([b"", b"a", b"bc", b"\r", b"\xff", b"a,b\r"])).map(b"\n".join)


@THOROUGH
@given(TEXTS, st.integers(1, 20), st.integers(1, 5))
@example(b"\n\n\n\n", 4, 1)
@example(b"a\n\n", 20, 1)
def test_blocks_hold_every_line_once_under_its_number(data: bytes, block_bytes: int, most_lines: int) -> None:
    blocks = list(read_blocks(io.BytesIO(data), block_bytes, most_lines))
    lines = [line.removesuffix(b"\r") for line in data.split(b"\n")]
    if data.endswith(b"\n") or not data:
        lines.pop()
    assert b"".join(block.data for block in blocks) == data
    assert [pair for block in blocks for pair in block.lines()] == list(enumerate(lines, start=1))
    for block in blocks:
        assert block.line_ends <= most_lines
        for number, line in block.lines():
            assert block.text_of(number) == line.decode(errors="replace")


def test_of_an_endless_line_only_the_beginning_is_kept() -> None:
    data = b"a\n" + b"x" * (LONGEST_LINE * 10) + b"\nb\n"
    blocks = list(read_blocks(io.BytesIO(data), 1000))
    assert sum(len(block.data) for block in blocks) < LONGEST_LINE + 2000
    numbers = [number for block in blocks for number, _ in block.lines()]
    assert numbers == [1, 2, 3]
    assert blocks[-1].data.endswith(b"\nb\n")
