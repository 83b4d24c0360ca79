"""A digest of what passes by: of all of it, in its order, or none at all."""

import hashlib
import random
from contextlib import closing

from airq.ingest.digest import PARTS_BEHIND, Digest


def test_a_digest_is_that_of_the_bytes_in_their_order() -> None:
    parts = [random.Random(number).randbytes(100_000) for number in range(3 * PARTS_BEHIND)]
    with closing(Digest()) as digest:
        buffer = bytearray(100_000)
        for part in parts:
            # Who reads uses one buffer for all.
            buffer[:] = part
            digest.take(memoryview(buffer))
        digest.take(memoryview(b""))
        assert digest.hexdigest() == hashlib.sha256(b"".join(parts)).hexdigest()


def test_without_a_byte_it_is_the_digest_of_nothing() -> None:
    with closing(Digest()) as digest:
        digest.take(memoryview(b""))
        assert digest.hexdigest() == hashlib.sha256().hexdigest()


def test_a_stream_without_its_end_has_none() -> None:
    with closing(Digest()) as digest:
        digest.take(memoryview(b"some"))
        assert digest.hexdigest() is None
