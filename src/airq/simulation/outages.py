"""What is missing: instruments and whole stations that are out of order for some hours."""

from typing import Final

import numpy as np
import numpy.typing as npt

from airq.domain.pollutants import NAMES
from airq.simulation.noise import Integers, Noise
from airq.simulation.stations import Stations

Flags = npt.NDArray[np.bool_]

_STATION_SHARE: Final = 0.25
_SHORTEST_MS: Final = 3_600_000
_LONGEST_MS: Final = 12 * _SHORTEST_MS


class Outages:
    """When which instrument of which station is silent."""

    def __init__(self, stations: Stations, seed: int, share: float) -> None:
        """Divide the missing share between stations and instruments.

        Args:
            stations: Whose outages these are.
            seed: The simulation's seed.
            share: The share of values that are missing on average, 0 to 1.
        """
        by_station = _STATION_SHARE * share
        # A value is missing if its station or its instrument is silent; both together make the
        # share that was asked for.
        by_instrument = (share - by_station) / (1 - by_station)
        self._station = _Silence(stations, seed, "station", by_station)
        self._instruments = {
            pollutant: _Silence(stations, seed, pollutant, by_instrument) for pollutant in NAMES
        }

    def of_stations(self, times_ms: Integers) -> Flags:
        """Return where the whole station is silent, shape (moments, stations).

        Args:
            times_ms: Milliseconds since 1970-01-01 UTC, shape (moments,).
        """
        return self._station.at(times_ms)

    def of_instruments(self, pollutant: str, times_ms: Integers) -> Flags:
        """Return where the instrument for one pollutant is silent, shape (moments, stations).

        Args:
            pollutant: Its name.
            times_ms: Milliseconds since 1970-01-01 UTC, shape (moments,).
        """
        return self._instruments[pollutant].at(times_ms)


class _Silence:
    """Each station's time cut into shifts of a length of its own, some of which are silent."""

    def __init__(self, stations: Stations, seed: int, what: str, share: float) -> None:
        self._share = share
        self._shifts = Noise(seed, f"outage of {what}", stations.numbers)
        lengths = Noise(seed, f"length of outage of {what}", stations.numbers)
        bits = lengths.hashes(np.arange(2)[:, np.newaxis])
        longer_ms = bits[0] % np.uint64(_LONGEST_MS - _SHORTEST_MS)
        self._length_ms = _SHORTEST_MS + longer_ms.astype(np.int64)
        self._offset_ms = (bits[1] % np.uint64(_LONGEST_MS)).astype(np.int64)

    def at(self, times_ms: Integers) -> Flags:
        shifts = (times_ms[:, np.newaxis] + self._offset_ms) // self._length_ms
        # The upper 53 bits are what a float holds exactly, as a number from 0 to below 1.
        drawn = (self._shifts.hashes(shifts) >> np.uint64(11)).astype(np.float64) * 2.0**-53
        return drawn < self._share
