"""Locks on files, which the kernel releases when their holders end, however they end."""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

LOCK_SECONDS = 600.0
"""How long a lock is waited for: longer than anybody who works as he should keeps one."""

POLL_SECONDS = 0.02


@contextmanager
def opened(path: Path) -> Iterator[int]:
    """Open a file, made where there is none, for locks on it."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def lock_alone(lock: int) -> bool:
    """Take a lock that nobody shares; return False if others have one."""
    return _lock(lock, fcntl.LOCK_EX)


def lock_together(lock: int) -> bool:
    """Take a lock that others may share; return False if somebody has it alone."""
    return _lock(lock, fcntl.LOCK_SH)


def _lock(lock: int, operation: int) -> bool:
    try:
        fcntl.flock(lock, operation | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def wait_alone(lock: int) -> None:
    """Wait for a lock that nobody shares.

    Raises:
        TimeoutError: others kept theirs for `LOCK_SECONDS`.
    """
    _wait(lock, fcntl.LOCK_EX)


def wait_together(lock: int) -> None:
    """Wait for a lock that others may share.

    Raises:
        TimeoutError: somebody kept it alone for `LOCK_SECONDS`.
    """
    _wait(lock, fcntl.LOCK_SH)


def _wait(lock: int, operation: int) -> None:
    # Asked again and again, because the kernel's own waiting knows no limit.
    deadline = time.monotonic() + LOCK_SECONDS
    while not _lock(lock, operation):
        if time.monotonic() > deadline:
            raise TimeoutError(f"another process has kept its lock for {LOCK_SECONDS:g} s")
        time.sleep(POLL_SECONDS)
