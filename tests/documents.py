"""The project's own documents, as tests read them: headings, tables, commands."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
DOCUMENTS = [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").rglob("*.md"))]

_CELL_BORDER = re.compile(r"(?<!\\)\|")


def read(name: str) -> str:
    """Return a document by its path below the repository's root."""
    return (REPOSITORY / name).read_text()


def sections(text: str) -> dict[str, str]:
    """Return heading → what stands below it, up to the next heading; code blocks have no headings."""
    found: dict[str, list[str]] = {"": []}
    lines, fenced, heading = text.splitlines(), False, ""
    for line in lines:
        fenced ^= line.startswith("```")
        if line.startswith("#") and not fenced:
            heading = line.lstrip("#").strip()
            found[heading] = []
        else:
            found[heading].append(line)
    return {heading: "\n".join(below) for heading, below in found.items()}


def rows(text: str) -> list[list[str]]:
    """Return the cells of the rows of all tables, without their heads."""
    found = []
    for line in text.splitlines():
        if line.startswith("|"):
            cells = [cell.strip().replace("\\|", "|") for cell in _CELL_BORDER.split(line)[1:-1]]
            found.append(cells)
    # A head is the row above the row of dashes.
    dashes = [place for place, cells in enumerate(found) if set("".join(cells)) <= set("- :")]
    heads = {place - 1 for place in dashes} | set(dashes)
    return [cells for place, cells in enumerate(found) if place not in heads]


def agrees(documented: str, printed: str) -> bool:
    """Tell whether an output is the documented one, in which `…` stands for anything; spaces don't count."""
    if not documented:
        return True
    parts = ["".join(part.split()) for part in documented.split("…")]
    whole = "".join(printed.split())
    return re.fullmatch(".*".join(map(re.escape, parts)), whole) is not None


def codes(text: str) -> list[str]:
    """Return what stands in backquotes."""
    return re.findall(r"`([^`]+)`", text)


@dataclass(frozen=True)
class Command:
    """A command of a document.

    Args:
        line: its line in the document.
        text: for a shell.
        output: what the document says it prints; `…` stands for anything.
    """

    line: int
    text: str
    output: str


def commands(text: str) -> Iterator[Command]:
    """Return the commands in fenced blocks: `console` with `$ ` before each, `sh` as a whole."""
    language, block, start = "", [], 0
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.startswith("```"):
            block.append(line)
        elif language:
            if language == "console":
                yield from _in_console(block, start)
            elif language == "sh":
                yield Command(start, "\n".join(block), "")
            language = ""
        else:
            language, block, start = line[3:] or "none", [], number + 1


def _in_console(block: list[str], start: int) -> Iterator[Command]:
    command: list[str] = []
    output: list[str] = []
    line = start
    for number, text in enumerate([*block, "$ "], start=start):
        if text.startswith("$ "):
            if command:
                yield Command(line, "\n".join(command), "\n".join(output))
            command, output, line = [text[2:]], [], number
        elif text.startswith("> ") and not output:
            command.append(text[2:])
        else:
            output.append(text)
