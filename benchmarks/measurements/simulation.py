"""How fast `airq simulate` writes a file."""

from datetime import timedelta
from statistics import median

from benchmarks.bench import Bench, simulation
from benchmarks.figures import Figure, shown_rate
from benchmarks.processes import run

LEAST_ROWS_PER_SECOND = 500_000


def measure(bench: Bench) -> list[Figure]:
    """Write a million rows to a file, as a whole process each time."""
    rates = []
    path = bench.directory / "simulated.csv"
    for number in range(bench.pairs):
        command = simulation(path, bench.million, timedelta(hours=1))
        rates.append(bench.million / run(command, bench.directory / "command.log").seconds)
        bench.say(f"simulate {number + 1}/{bench.pairs}: {rates[-1]:,.0f} rows/s")
    path.unlink()
    rate = median(rates)
    return [
        Figure(
            what="simulate",
            airq=shown_rate(rates, "rows"),
            peer="",
            value=rate,
            shown=shown_rate(rates, "rows"),
            target=f"≥ {LEAST_ROWS_PER_SECOND:,} rows/s",
            met=rate >= LEAST_ROWS_PER_SECOND,
            ran=f"`airq simulate` of {bench.million:,} rows to a file, from the start of the process to its "
            f"end, {bench.pairs} runs",
            runs={"rows per second": rates},
        )
    ]
