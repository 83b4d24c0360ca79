"""One module for each thing that is measured; `CATALOG` names them in the order they run."""

from collections.abc import Callable

from benchmarks.bench import Bench
from benchmarks.figures import Figure
from benchmarks.measurements import (
    cached_file,
    cold_start,
    export,
    hit_ratio,
    hit_ratio_during_load,
    loading,
    paging,
    simulation,
    station_day,
    whole_file,
)

Measure = Callable[[Bench], list[Figure]]

CATALOG: dict[str, Measure] = {
    "simulate": simulation.measure,
    "load": loading.measure_rate,
    "load-memory": loading.measure_memory,
    "whole-file": whole_file.measure,
    "station-day": station_day.measure,
    "pages": paging.measure,
    "export": export.measure,
    "cached-file": cached_file.measure,
    "hit-ratio": hit_ratio.measure,
    "hit-ratio-during-load": hit_ratio_during_load.measure,
    "cold-start": cold_start.measure,
}

IN_CONTAINERS = ("cold-start",)
"""What these start belongs to the engine, so that what other programs used can't be told."""
