"""Drops answers from the HTTP caches in front of the API, by tag, in every one of them."""

import http.client
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import msgspec

TRIES = 3
RETRY_SECONDS = 0.5
TIMEOUT_SECONDS = 5.0
LONGEST_TAGS = 4_000
"""Bytes of tags in one request's header; caches take some 8 KiB a line."""

MOST_TAGS = 5_000
"""A load that touches more drops everything: naming all would take longer than refilling."""


@dataclass(frozen=True)
class Caches:
    """All caches behind a name.

    Args:
        url: of their purge listener, such as http://cache:8081/; each address behind its name is
            another cache.
        token: what they ask for, as a header can carry it.
    """

    url: str
    token: str


@dataclass
class Purged:
    """What became of a purge.

    Args:
        caches: number of caches that were reached.
        answers: number of answers that they dropped together.
        failures: address → why it could not be purged; what it keeps may be old until it expires.
    """

    caches: int = 0
    answers: int = 0
    failures: dict[str, str] = field(default_factory=dict)


class _Answer(msgspec.Struct):
    purged: int


def purge(caches: Caches, tags: Sequence[str] | None, sleep: Callable[[float], None] = time.sleep) -> Purged:
    """Drop the answers with any of these tags from every cache; None drops all.

    A cache that does not answer is tried again, and then reported, because a load is done whether
    its caches know of it or not.

    Args:
        tags: as in answers' Cache-Tag header, in printable ASCII without spaces.
    """
    parts = urlsplit(caches.url)
    host, port = parts.hostname or "", parts.port or 80
    done = Purged()
    try:
        addresses = _addresses(host, port)
    except (OSError, UnicodeError) as error:  # The latter of a name such as a..b, which nobody can have.
        done.failures[host] = f"its name can't be resolved: {getattr(error, 'strerror', None) or error}"
        return done
    if tags is not None and len(tags) > MOST_TAGS:
        tags = None
    headers = [{"Purge-All": "yes"}] if tags is None else [{"Purge-Tags": part} for part in _parts(tags)]
    headers = [header | {"Authorization": f"Bearer {caches.token}"} for header in headers]

    def purge_one(address: str) -> int:
        return sum(_send(address, port, header, sleep) for header in headers)

    # All at once: one that does not answer must not keep the others from hearing of it.
    with ThreadPoolExecutor(len(addresses), "purge") as threads:
        asked = {address: threads.submit(purge_one, address) for address in addresses}
    for address, dropped in asked.items():
        try:
            done.answers += dropped.result()
            done.caches += 1
        except (OSError, http.client.HTTPException) as error:
            done.failures[address] = str(error) or type(error).__name__
    return done


def _addresses(host: str, port: int) -> list[str]:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return sorted({str(address[4][0]) for address in found})


def _parts(tags: Sequence[str]) -> Iterator[str]:
    """Put as many tags into each header as it holds."""
    part: list[str] = []
    size = 0
    for tag in tags:
        if part and size + len(tag) > LONGEST_TAGS:
            yield " ".join(part)
            part, size = [], 0
        part.append(tag)
        size += len(tag) + 1
    if part:
        yield " ".join(part)


def _send(address: str, port: int, headers: dict[str, str], sleep: Callable[[float], None]) -> int:
    for attempt in range(1, TRIES + 1):
        try:
            return _send_once(address, port, headers)
        except (OSError, http.client.HTTPException):
            if attempt == TRIES:
                raise
            sleep(RETRY_SECONDS * attempt)
    raise AssertionError


def _send_once(address: str, port: int, headers: dict[str, str]) -> int:
    connection = http.client.HTTPConnection(address, port, timeout=TIMEOUT_SECONDS)
    try:
        connection.request("PURGE", "/", headers=headers)
        response = connection.getresponse()
        body = response.read(10_000)
    finally:
        connection.close()
    if response.status == 403:
        raise http.client.HTTPException("it refuses AIRQ_PURGE_TOKEN (403)")
    if response.status != 200:
        raise http.client.HTTPException(f"it answered {response.status} {response.reason}")
    try:
        return msgspec.json.decode(body, type=_Answer).purged
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise http.client.HTTPException("its answer is none of a cache of airq") from None
