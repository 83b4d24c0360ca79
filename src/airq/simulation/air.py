"""The air: what each station would measure at each moment.

It is made to look like real air, not to predict any: where no source is named, a number was chosen
by eye. Three things move it: the sun, the week's traffic, and a weather that the stations share;
each station adds noise of its own.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from airq.domain.pollutants import NAMES
from airq.simulation.noise import Floats, Integers, Noise
from airq.simulation.stations import Stations

_HOUR_MS: Final = 3_600_000
# People and the sun keep Central European Time; the simulation knows no summer time.
_LOCAL_MS: Final = _HOUR_MS
_YEAR_DAYS: Final = 365.2425
_LATITUDE: Final = np.radians(40.0)
_SOLAR_NOON_HOUR: Final = 13.0

# Vehicles on the road at each full local hour, as a share of a working day's morning rush.
# fmt: off
_WORKING_DAY: Final = (
    .18, .12, .09, .08, .10, .22, .50, .88, 1.0, .84, .66, .62,
    .64, .68, .68, .64, .66, .76, .90, .98, .84, .60, .42, .28,
)
_SATURDAY: Final = (
    .26, .20, .15, .12, .11, .12, .18, .26, .36, .46, .54, .58,
    .60, .58, .50, .46, .46, .50, .56, .60, .56, .46, .38, .32,
)
_SUNDAY: Final = (
    .28, .24, .19, .14, .11, .10, .12, .16, .22, .30, .38, .44,
    .48, .46, .40, .36, .38, .44, .52, .58, .54, .42, .30, .22,
)
# fmt: on
_WEEK: Final = np.array((*_WORKING_DAY * 5, *_SATURDAY, *_SUNDAY, _WORKING_DAY[0]))
_MEAN_TRAFFIC: Final = _WEEK[:-1].mean()


@dataclass(frozen=True)
class _Surroundings:
    """What all stations share, each of shape (moments, 1).

    Attributes:
        winter: 0 in the middle of July to 1 in the middle of January.
        traffic: Vehicles on the road, as a share of a working day's morning rush.
        sun: Sine of the sun's elevation, 0 at night.
        late_sun: The same two hours before; ground and chemistry lag behind the light.
        stillness: Factor by which what is emitted near the ground piles up.
        calm: The weather's part of it, without the daily cycle.
        stagnation: 0 on most days, 1 and more in episodes, mostly in winter.
        dust: PM10 from the desert in µg/m³, 0 on most days.
        heat: Factor on the ozone that the sun makes.
    """

    winter: Floats
    traffic: Floats
    sun: Floats
    late_sun: Floats
    stillness: Floats
    calm: Floats
    stagnation: Floats
    dust: Floats
    heat: Floats


class Air:
    """The air at some stations, under one seed."""

    def __init__(self, stations: Stations, seed: int) -> None:
        """Prepare the sources of noise.

        Args:
            stations: Where it is measured.
            seed: The simulation's seed.
        """
        self._stations = stations
        everywhere = np.zeros(1, dtype=np.int64)
        self._calm = Noise(seed, "calm", everywhere)
        self._dust = Noise(seed, "dust", everywhere)
        self._heat = Noise(seed, "heat", everywhere)
        self._local = Noise(seed, "local air", stations.numbers)
        self._gusts = Noise(seed, "gusts", stations.numbers)
        self._fine = Noise(seed, "fine particles", stations.numbers)
        self._coarse = Noise(seed, "coarse particles", stations.numbers)
        self._ozone = Noise(seed, "ozone", stations.numbers)
        self._plume = Noise(seed, "plume", stations.numbers)
        self._instruments = {
            pollutant: Noise(seed, f"instrument {pollutant}", stations.numbers) for pollutant in NAMES
        }

    def concentrations(self, times_ms: Integers) -> dict[str, Floats]:
        """Return what the instruments show.

        Args:
            times_ms: Milliseconds since 1970-01-01 UTC, shape (moments,).

        Returns:
            For each pollutant's name the concentrations, in µg/m³ and for CO in mg/m³, shape
            (moments, stations); none is negative, and PM2.5 is nowhere above PM10.
        """
        place = self._stations
        shared = self._surroundings(times_ms)

        # Everything that is emitted near the ground piles up and thins out together.
        gusts = self._gusts.drift(times_ms, 1.3)
        gusts += 0.7 * self._gusts.drift(times_ms, 0.4)
        local = self._local.drift(times_ms, 9)
        local *= 0.8
        local += 0.5 * gusts
        piling = np.exp(0.22 * local)
        piling *= shared.stillness
        followed = 1 + place.traffic_share * (shared.traffic / _MEAN_TRAFFIC - 1)
        emitted = piling * followed

        plume = self._plume.drift(times_ms, 2.5)
        plume += 0.6 * self._plume.drift(times_ms, 20)
        plume = np.square(np.maximum(plume - 1.0, 0.0))
        plume *= place.plume * np.exp(0.2 * gusts)
        plume = _held_below(130, plume)

        so2 = place.so2 * (0.4 + 0.6 * piling) + plume
        no2 = _held_below(500, place.no2 * emitted + 0.25 * plume)
        co = _held_below(9, place.co * emitted * (0.8 + 0.5 * shared.winter))
        co += 0.13 + 0.04 * shared.winter

        # Traffic's NO eats ozone and leaves NO2. The sun undoes it and in summer makes more ozone.
        made_by_sun = shared.late_sun * (22 + 62 * (1 - shared.winter)) * shared.heat
        ozone_around = 52 + 22 * (1 - shared.winter) + made_by_sun
        o3 = place.ozone * ozone_around * np.exp(0.07 * self._ozone.drift(times_ms, 5))
        o3 /= 1 + no2 / (28 + 62 * shared.sun)

        particles = np.exp(0.2 * self._fine.drift(times_ms, 14) + 0.06 * gusts)
        burning = 0.55 + 0.45 * np.sqrt(shared.stillness) * (0.4 + 0.6 * followed)
        fine = place.fine * particles * burning * shared.calm * (0.85 + 0.45 * shared.winter)
        fine *= 1 + 0.8 * shared.stagnation
        fine = _held_below(260, fine)
        whirled = 0.45 + 0.55 * followed * (1.15 - 0.3 * shared.winter)
        coarse = place.coarse * np.exp(0.25 * self._coarse.drift(times_ms, 4)) * whirled
        dust = place.dust * shared.dust
        fine += 0.2 * dust
        coarse += 0.8 * dust
        coarse += 0.2 * plume

        fine = self._measured("pm2_5", times_ms, fine)
        return {
            "so2": self._measured("so2", times_ms, so2),
            "no2": self._measured("no2", times_ms, no2),
            "co": self._measured("co", times_ms, co),
            "o3": self._measured("o3", times_ms, o3),
            "pm10": self._measured("pm10", times_ms, coarse) + fine,
            "pm2_5": fine,
        }

    def _measured(self, pollutant: str, times_ms: Integers, true: Floats) -> Floats:
        """Return what an instrument shows: it is a few percent off, each time anew."""
        error = self._instruments[pollutant].normal(times_ms[:, np.newaxis])
        error *= 0.025
        error += 1
        error *= true
        return error

    def _surroundings(self, times_ms: Integers) -> _Surroundings:
        """Work out season, sun, traffic and weather."""
        local_ms = times_ms + _LOCAL_MS
        hours = local_ms / _HOUR_MS
        season = np.cos(2 * np.pi * (hours / 24 - 15) / _YEAR_DAYS)
        winter = 0.5 + 0.5 * season
        # 1970-01-01 was a Thursday.
        traffic = np.interp((hours + 72) % 168, np.arange(169), _WEEK)
        sun = _sun(hours)
        late_sun = _sun(hours - 2)
        lull = 0.85 * self._calm.drift(times_ms, 60)[:, 0]
        lull += 0.5 * self._calm.drift(times_ms, 17)[:, 0]
        calm = np.exp(0.28 * lull)
        stagnation = np.maximum(lull - 0.7, 0.0) * (0.3 + 0.7 * winter)
        # The sun stirs the air up to a height that the night lets sink again.
        stillness = (1.3 - 0.75 * np.sqrt(late_sun)) * (0.85 + 0.3 * winter)
        stillness *= calm * (1 + 0.5 * stagnation)
        dust = 55 * np.maximum(self._dust.drift(times_ms, 70)[:, 0] - 0.9, 0.0)
        heat = np.exp(0.22 * self._heat.drift(times_ms, 80)[:, 0])
        column = np.newaxis
        return _Surroundings(
            winter=winter[:, column],
            traffic=traffic[:, column],
            sun=sun[:, column],
            late_sun=late_sun[:, column],
            stillness=stillness[:, column],
            calm=calm[:, column],
            stagnation=stagnation[:, column],
            dust=dust[:, column],
            heat=heat[:, column],
        )


def _held_below(limit: float, values: Floats) -> Floats:
    """Bend values so that small ones stay as they are and none reaches the limit."""
    return values / (1 + values / limit)


def _sun(local_hours: Floats) -> Floats:
    """Return the sine of the sun's elevation, 0 at night.

    Args:
        local_hours: Hours since 1970-01-01 local time.

    Returns:
        0 to 1, of the same shape. The declination is Cooper's approximation (P. I. Cooper, "The
        absorption of radiation in solar stills", Solar Energy 12(3), 1969).
    """
    day = local_hours / 24
    declination = np.radians(23.45) * np.sin(2 * np.pi * (284 + day) / _YEAR_DAYS)
    hour_angle = 2 * np.pi * (local_hours - _SOLAR_NOON_HOUR) / 24
    swing = np.cos(_LATITUDE) * np.cos(declination)
    elevation = np.sin(_LATITUDE) * np.sin(declination) + swing * np.cos(hour_angle)
    above_horizon: Floats = np.maximum(elevation, 0.0)
    return above_horizon
