"""What a measurement found, and how it is shown."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from statistics import median


class BenchmarkFailed(Exception):
    """A measurement can't be made, or what it ran did not do its job; the message says why."""


class LeftOut(Exception):
    """A measurement needs what this machine lacks; the message says what, and how to get it."""


@dataclass(frozen=True)
class Figure:
    """One line of the table.

    Args:
        what: what was measured.
        airq: airq's median, with its unit.
        peer: the peer's name and median with its unit; empty where there is no peer.
        value: what the target speaks of, such as a ratio of medians.
        shown: the same for people.
        target: the target for people.
        met: whether the target was met; None where there is none.
        ran: what exactly was run.
        runs: name → the single runs behind the medians, in the order they were made.
    """

    what: str
    airq: str
    peer: str
    value: float
    shown: str
    target: str
    met: bool | None
    ran: str
    runs: dict[str, list[float]] = field(default_factory=dict)


def median_ratio(numerators: Sequence[float], denominators: Sequence[float]) -> float:
    """Return the median of the ratios of runs that were made side by side."""
    return median(one / other for one, other in zip(numerators, denominators, strict=True))


def shown_rate(runs: Sequence[float], unit: str) -> str:
    """Write the median of some rates, as in `1,234 rows/s`."""
    return f"{median(runs):,.0f} {unit}/s"


def shown_mebibytes(size: float) -> str:
    """Write a number of bytes in MiB."""
    return f"{size / 2**20:,.1f} MiB"


def as_text(figures: Sequence[Figure], circumstances: dict[str, str]) -> str:
    """Return the table, what ran for each of its lines, and the circumstances, as Markdown."""
    heads = ("what", "airq", "peer", "result", "target", "met?")
    met = {True: "yes", False: "NO", None: "—"}
    lines = [(f.what, f.airq, f.peer or "—", f.shown, f.target or "—", met[f.met]) for f in figures]
    widths = [max(map(len, column)) for column in zip(heads, *lines, strict=True)]

    def row(cells: Sequence[str]) -> str:
        return f"| {' | '.join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True))} |"

    missed = [f.what for f in figures if f.met is False]
    return "\n".join(
        [
            row(heads),
            row(["-" * width for width in widths]),
            *map(row, lines),
            "",
            f"Targets missed: {', '.join(missed)}." if missed else "Every target that was measured is met.",
            "",
            "What ran:",
            "",
            *(f"- {f.what}: {f.ran}" for f in figures),
            "",
            *(f"- {name}: {text}" for name, text in circumstances.items()),
        ]
    )


def as_json(figures: Sequence[Figure], circumstances: dict[str, str]) -> str:
    """Return the same for machines."""
    content = {"circumstances": circumstances, "figures": [asdict(figure) for figure in figures]}
    return json.dumps(content, ensure_ascii=False, indent=2)
