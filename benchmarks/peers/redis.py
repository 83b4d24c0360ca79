"""Runs a Redis of its own, which keeps nothing on disk."""

from collections.abc import Iterator
from contextlib import contextmanager

from benchmarks.bench import Bench
from benchmarks.processes import Service, free_port, require, serving


@contextmanager
def redis(bench: Bench) -> Iterator[Service]:
    """Keep a Redis running that asks for no password and writes no snapshots.

    Raises:
        LeftOut: redis-server is not installed.
    """
    [program] = require("redis-server")
    port = free_port()
    command = [program, "--bind", "127.0.0.1", "--port", str(port), "--save", "", "--appendonly", "no"]
    command += ["--dir", str(bench.directory), "--daemonize", "no"]
    with serving(command, port, None, bench.directory / "redis.log") as service:
        yield service
