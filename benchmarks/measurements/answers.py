"""The answers of services in one form, to see that they say the same before any is measured."""

import gzip
import json
import urllib.request
from datetime import UTC, datetime
from typing import Any

from airq.domain.pollutants import NAMES
from benchmarks.figures import BenchmarkFailed

Rows = list[tuple[Any, ...]]
"""`(time, station, *values)`, sorted by time and station."""


def fetch(url: str, encoding: str = "identity") -> bytes:
    """Return an answer's body as it is sent in an encoding.

    Raises:
        BenchmarkFailed: it is sent in another encoding.
    """
    request = urllib.request.Request(url, headers={"Accept-Encoding": encoding})
    with urllib.request.urlopen(request, timeout=60) as response:
        sent = response.headers.get("Content-Encoding", "identity")
        if sent != encoding:
            raise BenchmarkFailed(f"{url} was asked for in {encoding} and sent in {sent}")
        body: bytes = response.read()
        return body


def fetch_rows(url: str, encoding: str = "identity") -> Rows:
    """Return the measurements of an answer: a list, or one below `data` or `rows`."""
    body = fetch(url, encoding)
    content = json.loads(gzip.decompress(body) if encoding == "gzip" else body)
    if isinstance(content, dict):
        content = content["data" if "data" in content else "rows"]
    return sorted(
        (_time(row["timestamp"]), row["station"], *(row[name] for name in NAMES)) for row in content
    )


def check_same(name: str, found: Rows, expected: Rows) -> None:
    """Refuse to measure a peer that does another job.

    Raises:
        BenchmarkFailed: the rows differ.
    """
    if found != expected:
        raise BenchmarkFailed(f"{name} answers with {len(found)} rows that are not airq's {len(expected)}")


def _time(text: str) -> datetime:
    time = datetime.fromisoformat(text)
    return time if time.tzinfo else time.replace(tzinfo=UTC)
