"""The SHA-256 of what passes by, computed beside whoever reads it."""

import hashlib
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor

PARTS_BEHIND = 4
"""Parts that may wait to be hashed, each some 1 MiB; then reading waits, so that memory stays the same."""


class Digest:
    """SHA-256 of a stream's bytes, as they come; a thread of its own keeps them from waiting for it."""

    def __init__(self) -> None:
        self._sha256 = hashlib.sha256()
        self._thread = ThreadPoolExecutor(1, "sha256")
        self._parts: deque[Future[None]] = deque()
        self._is_complete = False

    def take(self, part: memoryview) -> None:
        """Take the next bytes, of a buffer that may be used again; none mean the stream's end."""
        if not part:
            self._is_complete = True
            return
        self._parts.append(self._thread.submit(self._sha256.update, bytes(part)))
        if len(self._parts) > PARTS_BEHIND:
            self._parts.popleft().result()

    def hexdigest(self) -> str | None:
        """Return the digest in hexadecimal; None where the stream's end did not come."""
        self._thread.shutdown()
        return self._sha256.hexdigest() if self._is_complete else None

    def close(self) -> None:
        """End the thread; what it did not come to is left."""
        self._thread.shutdown(cancel_futures=True)
