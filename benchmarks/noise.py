"""How much of the machine other programs used while the benchmarks ran."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from airq.embedded import Server

_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Clock:
    """CPU seconds at one moment: of the whole machine, and of the benchmarks and what they started."""

    wall: float
    busy: float
    ours: float


class Noise:
    """What other programs used of all CPUs while something was watched.

    Args:
        server: the PostgreSQL that belongs to us though it is not our child.
    """

    def __init__(self, server: Server) -> None:
        self._server = server
        self._wall = self._others = 0.0

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Add what is used meanwhile; none of the measured services may run at either end."""
        before = read_clock(self._server)
        try:
            yield
        finally:
            after = read_clock(self._server)
            self._wall += after.wall - before.wall
            self._others += (after.busy - before.busy) - (after.ours - before.ours)

    @property
    def share(self) -> float | None:
        """The share of all CPUs, 0 to 1; None where nothing was watched."""
        cpus = os.cpu_count() or 1
        return min(max(self._others / cpus / self._wall, 0.0), 1.0) if self._wall else None


def read_clock(server: Server) -> Clock:
    """Read the clocks, while none of the measured services runs.

    PostgreSQL's server is not our child, but it adds up the time of the processes that served its
    connections, as we do for the commands and services that have ended.
    """
    postmaster = (server.data_directory / "cluster" / "postmaster.pid").read_text().split("\n", 1)[0]
    # Source: proc(5). /proc/stat: user, nice, system, idle, iowait, irq, softirq, steal; the fields
    # behind a process's name: user and system time are the 12th and 13th, its children's the next two.
    machine = Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]
    busy = sum(int(ticks) for place, ticks in enumerate(machine) if place not in (3, 4))
    process = Path(f"/proc/{postmaster}/stat").read_text().rpartition(")")[2].split()
    ours = os.times()
    return Clock(
        wall=time.monotonic(),
        busy=busy / _TICKS_PER_SECOND,
        ours=sum(ours[:4]) + sum(map(int, process[11:15])) / _TICKS_PER_SECOND,
    )
