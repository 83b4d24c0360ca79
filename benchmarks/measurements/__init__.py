"""One module for each thing that is measured; `CATALOG` names them in the order they run."""

from collections.abc import Callable

from benchmarks.bench import Bench
from benchmarks.figures import Figure
from benchmarks.measurements import export, loading, paging, simulation, station_day, whole_file

Measure = Callable[[Bench], list[Figure]]

CATALOG: dict[str, Measure] = {
    "simulate": simulation.measure,
    "load": loading.measure_rate,
    "load-memory": loading.measure_memory,
    "whole-file": whole_file.measure,
    "station-day": station_day.measure,
    "pages": paging.measure,
    "export": export.measure,
}

NEEDING_WRK = ("whole-file", "station-day")
