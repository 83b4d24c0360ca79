"""Sends requests one after the other on connections that stay open, and counts what a cache says of each."""

import re
import socket
from collections import Counter
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor

from benchmarks.figures import BenchmarkFailed

Request = tuple[int, bytes]
"""A question's number, and the bytes that ask it: other bytes may ask the same question."""

_LENGTH = re.compile(rb"\r\ncontent-length: (\d+)", re.IGNORECASE)
_STATE = re.compile(rb"\r\nx-cache: (\w+)", re.IGNORECASE)
_TAG = re.compile(rb"\r\netag: ([^\r]+)", re.IGNORECASE)


def written(target: str, headers: Sequence[str] = ()) -> bytes:
    """Return the bytes of a GET request; the headers come behind `Host` and may repeat it no more."""
    return "\r\n".join([f"GET {target} HTTP/1.1", *headers, "", ""]).encode()


def replay(
    port: int, connections: Sequence[Iterable[Request]], tags: dict[int, bytes] | None = None
) -> Counter[str]:
    """Send each connection's requests and count the answers by their X-Cache.

    Args:
        connections: the requests of each.
        tags: question's number → the ETag of its answer, filled in where a question is new; left out,
            answers may change meanwhile.

    Raises:
        BenchmarkFailed: an answer is no 200, or not the one that the question had before.
    """

    def run(requests: Iterable[Request]) -> Counter[str]:
        states: Counter[str] = Counter()
        with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for question, request in requests:
                head = _ask(connection, request)
                state, tag = _STATE.search(head), _TAG.search(head)
                if head[9:12] != b"200" or state is None or tag is None:
                    raise BenchmarkFailed(f"{request!r} was answered with {head[:200]!r}")
                if tags is not None and tags.setdefault(question, tag[1]) != tag[1]:
                    raise BenchmarkFailed(f"{request!r} was given another answer than its question's first")
                states[state[1].decode()] += 1
        return states

    with ThreadPoolExecutor(len(connections)) as threads:
        return sum(threads.map(run, connections), Counter())


def share_of_hits(states: Counter[str]) -> float:
    """Return the share of hits, 0 to 1."""
    return states["hit"] / states.total()


def shown_states(states: Counter[str]) -> str:
    """Write what was counted, as in `99,990 hit, 10 miss`."""
    return ", ".join(f"{count:,} {state}" for state, count in states.most_common())


def _ask(connection: socket.socket, request: bytes) -> bytes:
    """Send a request, read its answer to the end, and return the answer's head."""
    connection.sendall(request)
    received = b""
    while (end := received.find(b"\r\n\r\n")) < 0:
        received += _read(connection, request)
    head = received[:end]
    length = _LENGTH.search(head)
    if length is None:
        raise BenchmarkFailed(f"{request!r} was answered without a length: {head[:200]!r}")
    missing = int(length[1]) - (len(received) - end - 4)
    while missing > 0:
        missing -= len(_read(connection, request))
    return head


def _read(connection: socket.socket, request: bytes) -> bytes:
    if not (part := connection.recv(2**18)):
        raise BenchmarkFailed(f"the connection was closed within the answer to {request!r}")
    return part
