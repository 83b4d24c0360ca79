"""Where a CSV comes from: a file, a URL or standard input, plain or packed with gzip."""

import base64
import gzip
import http.client
import io
import os
import re
import tempfile
import urllib.error
import urllib.parse
import urllib.request
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol, cast

from airq.domain.errors import Unfetched, UnusableInput

DOWNLOAD_TIMEOUT_SECONDS = 60
_CHUNK = 1024 * 1024
_URL = re.compile(r"([a-z][a-z0-9+.-]*)://", re.ASCII | re.IGNORECASE)
_NOT_ASCII = re.compile(r"[^\x00-\x7f]+")
_PASSING = (408, 425, 429)
"""Statuses below 500 that another try may mend."""


@dataclass
class Source:
    """A CSV that can be read more than once.

    Args:
        name: how people call it, as `name_of` tells.
        path: where its bytes lie, as they came.
        size: their number.
    """

    name: str
    path: Path
    size: int

    @contextmanager
    def open(self, on_bytes: Callable[[memoryview], None] = lambda part: None) -> Iterator[BinaryIO]:
        """Open the unpacked bytes.

        Args:
            on_bytes: gets each part as it came from the file, in a buffer that is used again, and an empty
                one at the end. It gets all of them also where the block ends with `UnusableInput`.

        Raises:
            UnusableInput: also while reading, where a disk fails or a gzip file is damaged or cut off.
        """
        with ExitStack() as stack:
            try:
                file = stack.enter_context(self.path.open("rb"))
                packed = file.read(2) == b"\x1f\x8b"
                file.seek(0)
            except OSError as error:
                raise _broken_off(error) from None
            counted = _Heard(file, on_bytes)
            stream = _Gzip(counted) if packed else io.BufferedReader(counted, _CHUNK)
            try:
                yield cast(BinaryIO, stream)
            except UnusableInput:
                with suppress(UnusableInput):
                    while counted.read(_CHUNK):
                        pass
                raise


class _Heard(io.RawIOBase):
    def __init__(self, file: BinaryIO, on_bytes: Callable[[memoryview], None]) -> None:
        self._file, self._on_bytes = file, on_bytes

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        try:
            count = cast(io.BufferedReader, self._file).readinto(buffer)
        except OSError as error:
            raise _broken_off(error) from None
        self._on_bytes(memoryview(buffer)[:count])
        return count


def _broken_off(error: OSError) -> UnusableInput:
    return UnusableInput(f"it can't be read: {error.strerror or error}")


class _Gzip:
    """Reads gzip, with its faults told in the words of this project."""

    def __init__(self, raw: io.RawIOBase) -> None:
        self._file = gzip.GzipFile(fileobj=io.BufferedReader(raw, _CHUNK))

    def read(self, size: int) -> bytes:
        try:
            return self._file.read(size)
        except EOFError:
            raise UnusableInput("the gzip file is cut off; fetch it again") from None
        except (gzip.BadGzipFile, zlib.error) as error:
            reason = f"the gzip file is damaged ({error}); fetch it again"
            raise UnusableInput(reason) from None


@contextmanager
def open_source(place: str, stdin: BinaryIO) -> Iterator[Source]:
    """Make a file, a URL (http or https) or `-` for standard input readable.

    What comes from a URL, standard input or a pipe is kept in a temporary file meanwhile, because a
    load may need to read it twice.

    Raises:
        UnusableInput: it can't be opened.
        Unfetched: it can't be fetched or kept at the moment.
    """
    _check_scheme(place)
    name = name_of(place)
    with ExitStack() as stack:
        try:
            if place == "-":
                source = _kept(stdin, name, stack)
            elif _is_url(place):
                source = _fetched(place, name, stack)
            else:
                path = Path(place)
                opened = stack.enter_context(path.open("rb"))
                if opened.seekable():
                    source = Source(name, path, path.stat().st_size)
                else:  # A pipe, as a shell makes one of <(zcat x.csv.gz).
                    source = _kept(opened, name, stack)
        except OSError as error:
            raise UnusableInput(f"{name}: {error.strerror or error}") from None
        yield source


def check_source(place: str) -> None:
    """Refuse a file that is not there or can't be read; URLs and standard input show at their turn.

    Raises:
        UnusableInput: the file can't be opened, or the URL is none that airq reads.
    """
    _check_scheme(place)
    if place == "-" or _is_url(place):
        return
    if Path(place).is_dir():
        raise UnusableInput(f"{name_of(place)}: is a directory; name its files")
    if not os.access(place, os.R_OK):
        reason = "permission denied" if Path(place).exists() else "no such file"
        raise UnusableInput(f"{name_of(place)}: {reason}")


def _check_scheme(place: str) -> None:
    url = _URL.match(place)
    if url and not _is_url(place):
        raise UnusableInput(
            f"{name_of(place)}: {url[1]} is not read; give an http or https URL, or the path of a file"
        )


def name_of(place: str) -> str:
    """Return how people call a source: what a message may print and a database can store.

    That is a URL without the user, the password and the query, where tokens stand. In any name, a �
    takes the place of what is no UTF-8.
    """
    place = os.fsencode(place).decode(errors="replace")
    if not _URL.match(place):
        return place
    try:
        parts = urllib.parse.urlsplit(place)
    except ValueError:
        return place.partition("//")[0] + "//…"
    host = parts.netloc.rpartition("@")[2]
    return urllib.parse.urlunsplit((parts.scheme, host, parts.path, "…" if parts.query else "", ""))


def _is_url(place: str) -> bool:
    return place.lower().startswith(("http://", "https://"))


class _Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...


def _kept(stream: _Readable, name: str, stack: ExitStack) -> Source:
    """Copy a stream to a temporary file that lives as long as the stack.

    Raises:
        Unfetched: there is no room for it; faults of the stream are let through.
    """
    with _room_for(name):
        file = stack.enter_context(_temporary_file())
    size = 0
    while part := memoryview(stream.read(_CHUNK)):
        size += len(part)
        while part:
            with _room_for(name):
                part = part[file.write(part) :]
    return Source(name, Path(file.name), size)


def _temporary_file() -> "tempfile._TemporaryFileWrapper[bytes]":
    # Without a buffer, whose rest would fail once more where a full disk's file is closed.
    return tempfile.NamedTemporaryFile(prefix="airq-", suffix=".csv", buffering=0)


@contextmanager
def _room_for(name: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        place = tempfile.tempdir or "a temporary file"
        raise Unfetched(
            f"{name}: no room to keep it in {place}: {error.strerror or error}; "
            "name a directory with room in TMPDIR"
        ) from None


def _fetched(url: str, name: str, stack: ExitStack) -> Source:
    try:
        with urllib.request.urlopen(_request(url), timeout=DOWNLOAD_TIMEOUT_SECONDS) as response:  # noqa: S310
            source = _kept(response, name, stack)
            expected = response.headers.get("Content-Length", "")
    except urllib.error.HTTPError as error:
        error.close()
        if 300 <= error.code < 400:
            raise UnusableInput(
                f"{name}: the server redirects in a circle, to nowhere, or to what is not read"
            ) from None
        passes = error.code >= 500 or error.code in _PASSING
        kind = Unfetched if passes else UnusableInput
        raise kind(f"{name}: the server answered {error.code} {error.reason}") from None
    except http.client.IncompleteRead:
        raise Unfetched(f"{name}: the server broke off; try again") from None
    except http.client.InvalidURL:
        # The error quotes the query.
        raise UnusableInput(
            f"{name}: could not be fetched: the URL has a port that is no number, or a space, "
            "which is written %20"
        ) from None
    except ValueError as error:
        raise UnusableInput(f"{name}: could not be fetched: {error}") from None
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", None) or error
        reason = getattr(reason, "strerror", None) or reason
        raise Unfetched(f"{name}: could not be fetched: {reason}") from None
    if expected.isdecimal() and int(expected) != source.size:
        raise Unfetched(f"{name}: {source.size} of {expected} bytes arrived; try again")
    return source


def _request(url: str) -> urllib.request.Request:
    parts = urllib.parse.urlsplit(url)
    user, _, host = parts.netloc.rpartition("@")
    if not host.isascii():
        host = host.encode("idna").decode()
    plain = urllib.parse.urlunsplit(parts._replace(netloc=host))
    # As browsers do with what people paste; escapes that are there stay.
    plain = _NOT_ASCII.sub(lambda found: urllib.parse.quote(os.fsencode(found[0])), plain)
    request = urllib.request.Request(plain, headers={"User-Agent": "airq"})  # noqa: S310 checked by the caller
    if user:
        # RFC 7617; another server, to which this one redirects, is not told.
        credentials = base64.b64encode(urllib.parse.unquote_to_bytes(user)).decode()
        request.add_unredirected_header("Authorization", f"Basic {credentials}")
    return request
