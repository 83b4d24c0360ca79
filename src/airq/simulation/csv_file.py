"""The simulated measurements as bytes: one line per station and moment, as in the original file."""

from collections.abc import Callable, Iterator
from functools import cache
from typing import Any, Final, Protocol

import numpy as np
import numpy.typing as npt

from airq.domain.pollutants import NAMES
from airq.simulation.air import Air
from airq.simulation.noise import Floats, Integers
from airq.simulation.outages import Flags, Outages
from airq.simulation.plan import Simulation
from airq.simulation.stations import Stations

HEADER: Final = f"TimeInstant,id_entity,{','.join(NAMES)}\n".encode("ascii")

# An instrument's usual resolution. A value is a whole number of such steps, looked up as text.
_DECIMALS: Final = {"so2": 2, "no2": 2, "co": 3, "o3": 2, "pm10": 2, "pm2_5": 2}
_HIGHEST_STEP: Final = 99_999
_EMPTY_STEP: Final = _HIGHEST_STEP + 1


class Sink(Protocol):
    """What bytes can be written to, such as a file opened for binary writing."""

    def write(self, data: bytes, /) -> object:
        """Take all of the bytes."""


def write_csv(
    simulation: Simulation,
    binary_file: Sink,
    on_progress: Callable[[int], None] | None = None,
    *,
    rows_per_chunk: int = 16_384,
) -> int:
    """Write a simulation as CSV, ordered by time, then by station, in memory that does not grow.

    Args:
        simulation: What to simulate.
        binary_file: Where to, buffered.
        on_progress: Called after each chunk with the number of rows written so far.
        rows_per_chunk: About how many rows to hold at a time; the bytes do not depend on it.

    Returns:
        How many rows were written, the header not counted.
    """
    stations = Stations(simulation.stations, simulation.seed)
    air = Air(stations, simulation.seed)
    outages = Outages(stations, simulation.seed, simulation.gaps) if simulation.gaps else None
    station_cells = np.array([f",{name}".encode("ascii") for name in stations.names])
    layout = _line_layout(station_cells)
    written = 0
    binary_file.write(HEADER)
    for times_ms in _chunks_of_times(simulation, rows_per_chunk):
        lines = np.empty((times_ms.size, simulation.stations), dtype=layout)
        lines["time"] = _times_as_text(times_ms)[:, np.newaxis]
        lines["station"] = station_cells
        lines["end"] = b"\n"
        for pollutant, values in air.concentrations(times_ms).items():
            decimals = _DECIMALS[pollutant]
            steps = _steps(values, decimals)
            if outages:
                steps[outages.of_instruments(pollutant, times_ms)] = _EMPTY_STEP
            lines[pollutant] = _cells(decimals)[steps]
        if outages:
            lines = lines[~outages.of_stations(times_ms) & _has_a_value(lines)]
        # The fields are padded with NUL to a fixed width, and no text holds a NUL: dropping them
        # all at once makes the lines, much faster than joining cells one by one.
        binary_file.write(lines.tobytes().translate(None, delete=b"\0"))
        written += lines.size
        if on_progress:
            on_progress(written)
    return written


def _chunks_of_times(simulation: Simulation, rows_per_chunk: int) -> Iterator[Integers]:
    """Yield the moments of the simulation, in milliseconds since 1970-01-01 UTC, some at a time."""
    moments_per_chunk = max(1, rows_per_chunk // simulation.stations)
    for first in range(0, simulation.moments, moments_per_chunk):
        last = min(first + moments_per_chunk, simulation.moments)
        moments = np.arange(first, last, dtype=np.int64)
        yield simulation.start_ms + moments * simulation.interval_ms


def _times_as_text(times_ms: Integers) -> npt.NDArray[np.bytes_]:
    """Write times as `2025-01-01 00:00:00.000`, shape (moments,)."""
    text = np.datetime_as_string(times_ms.astype("datetime64[ms]"), unit="ms").astype("S23")
    text.view(np.uint8).reshape(-1, 23)[:, 10] = ord(" ")
    return text


def _steps(values: Floats, decimals: int) -> Integers:
    """Round concentrations to whole numbers of the last decimal."""
    steps: Integers = np.rint(values * 10**decimals).astype(np.int64)
    return np.minimum(steps, _HIGHEST_STEP, out=steps)


@cache
def _cells(decimals: int) -> npt.NDArray[np.bytes_]:
    """Return the text of every cell there can be, by its step, with the comma before it."""
    steps = range(_HIGHEST_STEP + 1)
    texts = [f",{step / 10**decimals:.{decimals}f}".encode("ascii") for step in steps]
    return np.array([*texts, b","], dtype="S8")


def _has_a_value(lines: npt.NDArray[Any]) -> Flags:
    """Tell which lines have a value in at least one cell."""
    filled = np.zeros(lines.shape, dtype=np.bool_)
    for pollutant in NAMES:
        filled |= lines[pollutant] != b","
    return filled


def _line_layout(station_cells: npt.NDArray[np.bytes_]) -> np.dtype[np.void]:
    """Lay a line out in fields of fixed width, each beginning with its comma."""
    return np.dtype(
        [
            ("time", "S23"),
            ("station", station_cells.dtype),
            *((pollutant, "S8") for pollutant in NAMES),
            ("end", "S1"),
        ]
    )
