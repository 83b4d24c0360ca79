"""Where a CSV comes from: a file, a URL or standard input, plain or packed with gzip."""

import base64
import gzip
import hashlib
import http.client
import io
import os
import shutil
import tempfile
import urllib.error
import urllib.parse
import urllib.request
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

from airq.domain.errors import UnusableInput

DOWNLOAD_TIMEOUT_SECONDS = 60
_CHUNK = 1024 * 1024


@dataclass
class Source:
    """A CSV that can be read more than once.

    Args:
        name: how people call it: the file's name, the URL without its secrets, or `-`.
        path: where its bytes lie, as they came.
        size: their number.
    """

    name: str
    path: Path
    size: int

    @contextmanager
    def open(self, on_bytes: Callable[[int], None] = lambda count: None) -> Iterator[BinaryIO]:
        """Open the unpacked bytes; `on_bytes` hears of each part read, in bytes as they came.

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
            counted = _Counted(file, on_bytes)
            if packed:
                yield cast(BinaryIO, _Gzip(counted))
            else:
                yield cast(BinaryIO, io.BufferedReader(counted, _CHUNK))

    def sha256(self) -> str:
        """Return the SHA-256 of the bytes as they came, in hexadecimal."""
        with self.path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()


class _Counted(io.RawIOBase):
    def __init__(self, file: BinaryIO, on_bytes: Callable[[int], None]) -> None:
        self._file, self._on_bytes = file, on_bytes

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        try:
            count = cast(io.BufferedReader, self._file).readinto(buffer)
        except OSError as error:
            raise _broken_off(error) from None
        self._on_bytes(count)
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
        UnusableInput: it can't be opened or fetched.
    """
    if place == "-":
        with _temporary_file() as file:
            shutil.copyfileobj(stdin, file, _CHUNK)
            yield _spooled("-", file)
    elif place.lower().startswith(("http://", "https://")):
        name = _without_secrets(place)
        with _temporary_file() as file:
            _download(place, name, file)
            yield _spooled(name, file)
    else:
        path = Path(place)
        with ExitStack() as stack:
            try:
                opened = stack.enter_context(path.open("rb"))
                if opened.seekable():
                    source = Source(place, path, path.stat().st_size)
                else:  # A pipe, as a shell makes one of <(zcat x.csv.gz).
                    file = stack.enter_context(_temporary_file())
                    shutil.copyfileobj(opened, file, _CHUNK)
                    source = _spooled(place, file)
            except OSError as error:
                raise UnusableInput(f"{place}: {error.strerror or error}") from None
            yield source


def check_source(place: str) -> None:
    """Refuse a file that is not there or can't be read; URLs and standard input show at their turn.

    Raises:
        UnusableInput: the file can't be opened.
    """
    if place == "-" or "://" in place:
        return
    if Path(place).is_dir():
        raise UnusableInput(f"{place}: is a directory; name its files")
    if not os.access(place, os.R_OK):
        reason = "permission denied" if Path(place).exists() else "no such file"
        raise UnusableInput(f"{place}: {reason}")


def _temporary_file() -> "tempfile._TemporaryFileWrapper[bytes]":
    return tempfile.NamedTemporaryFile(prefix="airq-", suffix=".csv")


def _spooled(name: str, file: "tempfile._TemporaryFileWrapper[bytes]") -> Source:
    file.flush()
    return Source(name, Path(file.name), file.tell())


def _download(url: str, name: str, file: "tempfile._TemporaryFileWrapper[bytes]") -> None:
    try:
        with urllib.request.urlopen(_request(url), timeout=DOWNLOAD_TIMEOUT_SECONDS) as response:  # noqa: S310
            shutil.copyfileobj(response, file, _CHUNK)
            expected = response.headers.get("Content-Length")
    except urllib.error.HTTPError as error:
        error.close()
        raise UnusableInput(f"{name}: the server answered {error.code} {error.reason}") from None
    except http.client.IncompleteRead:
        raise UnusableInput(f"{name}: the server broke off; try again") from None
    except (OSError, ValueError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", None) or error
        reason = getattr(reason, "strerror", None) or reason
        raise UnusableInput(f"{name}: could not be fetched: {reason}") from None
    if expected is not None and int(expected) != file.tell():
        raise UnusableInput(f"{name}: {file.tell()} of {expected} bytes arrived; try again")


def _request(url: str) -> urllib.request.Request:
    parts = urllib.parse.urlsplit(url)
    user, _, host = parts.netloc.rpartition("@")
    plain = urllib.parse.urlunsplit(parts._replace(netloc=host))
    request = urllib.request.Request(plain, headers={"User-Agent": "airq"})  # noqa: S310 checked by the caller
    if user:
        # RFC 7617; another server, to which this one redirects, is not told.
        credentials = base64.b64encode(urllib.parse.unquote_to_bytes(user)).decode()
        request.add_unredirected_header("Authorization", f"Basic {credentials}")
    return request


def _without_secrets(url: str) -> str:
    """Take the user, the password and the query, where tokens stand, out of a URL."""
    try:
        parts = urllib.parse.urlsplit(url)
    except ValueError as error:
        raise UnusableInput(f"the URL can't be read: {error}") from None
    host = parts.netloc.rpartition("@")[2]
    return urllib.parse.urlunsplit((parts.scheme, host, parts.path, "…" if parts.query else "", ""))
