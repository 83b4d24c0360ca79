"""Randomness with an address: one seed, channel, station and moment always give the same number.

A generator that is drawn from in order would make every value depend on how many were drawn before.
Hashing the address instead makes each value independent of chunk sizes, of how many stations there
are and of where the series begins. It is integer arithmetic alone until the last scaling, so that
every platform and every version of numpy finds the same numbers.
"""

from typing import Final

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Hashes = npt.NDArray[np.uint64]

# Increment and multipliers of SplitMix64, mixing by Stafford's variant 13: Steele, Lea and Flood,
# "Fast splittable pseudorandom number generators", OOPSLA 2014, doi:10.1145/2660193.2660195.
_INCREMENT: Final = np.uint64(0x9E3779B97F4A7C15)
_FIRST_MULTIPLIER: Final = np.uint64(0xBF58476D1CE4E5B9)
_SECOND_MULTIPLIER: Final = np.uint64(0x94D049BB133111EB)

_EVEN_LANES: Final = np.uint64(0x0000FFFF0000FFFF)
_LOW_HALF: Final = np.uint64(0x00000000FFFFFFFF)
# The sum of four whole numbers, each uniform over 0 to 65535: its mean, and its standard deviation.
_SUM_MEAN: Final = 4 * 65535 / 2
_SUM_DEVIATION: Final = (4 * (65536**2 - 1) / 12) ** 0.5


class Noise:
    """The random numbers of one channel, for a fixed list of stations."""

    def __init__(self, seed: int, channel: str, stations: Integers) -> None:
        """Derive one key per station.

        Args:
            seed: The simulation's seed, 0 to 2**64 - 1.
            channel: What the numbers are for; two channels have nothing in common.
            stations: The stations' own numbers, shape (stations,).
        """
        key = np.array([seed], dtype=np.uint64)
        for byte in channel.encode():
            key = _mix(key + np.uint64(byte))
        self._keys: Hashes = _mix(key + stations.astype(np.uint64) * _INCREMENT)

    def hashes(self, moments: Integers) -> Hashes:
        """Return 64 random bits for every moment and station.

        Args:
            moments: Whole numbers that name the moments, shape (moments, 1) for moments that the
                stations share, or (moments, stations).

        Returns:
            Hashes, shape (moments, stations).
        """
        return _mix(self._keys + moments.astype(np.uint64) * _INCREMENT)

    def normal(self, moments: Integers) -> Floats:
        """Return nearly normal numbers of mean 0 and deviation 1, none beyond 3.5 either way.

        They are sums of four uniform numbers (an Irwin-Hall distribution): no logarithm that two
        platforms could round apart, and no far tail that would have to be cut off later.

        Args:
            moments: As for `hashes`.

        Returns:
            Numbers, shape (moments, stations).
        """
        bits = self.hashes(moments)
        pairs = bits & _EVEN_LANES
        bits >>= np.uint64(16)
        bits &= _EVEN_LANES
        pairs += bits
        total = (pairs & _LOW_HALF) + (pairs >> np.uint64(32))
        number = total.astype(np.float64)
        number -= _SUM_MEAN
        number *= 1 / _SUM_DEVIATION
        return number

    def drift(self, times_ms: Integers, scale_hours: float) -> Floats:
        """Return noise that wanders: nearly normal at knots one scale apart, blended in between.

        Unlike an autoregressive recursion it can be asked for any moment without what came before.

        Args:
            times_ms: Milliseconds since 1970-01-01 UTC, shape (moments,).
            scale_hours: How far apart the knots are.

        Returns:
            Numbers of mean 0, shape (moments, stations).
        """
        scale_ms = round(scale_hours * 3_600_000)
        before, offset_ms = np.divmod(times_ms, scale_ms)
        # Only the knots that are touched are computed, however far apart the moments are.
        knots, positions = np.unique(np.concatenate((before, before + 1)), return_inverse=True)
        values = self.normal(knots[:, np.newaxis])
        left, right = np.split(positions, 2)
        way = offset_ms / scale_ms
        angle = way * way * (3 - 2 * way) * (np.pi / 2)
        # The squares of the weights sum to 1, which keeps the deviation at 1 between the knots too;
        # the cubic makes the line leave one knot and reach the next without a bend.
        blended = values[left]
        blended *= np.cos(angle)[:, np.newaxis]
        rising = values[right]
        rising *= np.sin(angle)[:, np.newaxis]
        blended += rising
        return blended


def _mix(bits: Hashes) -> Hashes:
    """Scramble 64-bit numbers so that neighbours have nothing in common."""
    mixed = bits + _INCREMENT
    mixed ^= mixed >> np.uint64(30)
    mixed *= _FIRST_MULTIPLIER
    mixed ^= mixed >> np.uint64(27)
    mixed *= _SECOND_MULTIPLIER
    mixed ^= mixed >> np.uint64(31)
    return mixed
