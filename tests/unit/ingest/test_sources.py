"""Where a CSV comes from: files, pipes, URLs and standard input."""

import gzip
import io
import os
import re
import resource
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from airq.domain.errors import Unfetched, UnusableInput
from airq.ingest.sources import Source, check_source, open_source

CONTENT = b"TimeInstant,id_entity,so2\n" * 1000
NO_INPUT = io.BytesIO()


def content(source: Source) -> bytes:
    with source.open() as stream:
        parts = []
        while part := stream.read(1000):
            parts.append(part)
    return b"".join(parts)


class _Publisher(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        refused = {"/missing.csv": 404, "/limited.csv": 429, "/busy.csv": 503}.get(path)
        if refused:
            self.send_error(refused)
            return
        if path == "/elsewhere.csv":
            self.send_response(302)
            self.send_header("Location", self.path.replace("elsewhere", "private"))
            self.end_headers()
            return
        redirect = {"/circle.csv": "/circle.csv", "/local.csv": "file:///etc/hostname", "/nowhere.csv": ""}
        if path in redirect:
            self.send_response(302)
            if redirect[path]:
                self.send_header("Location", redirect[path])
            self.end_headers()
            return
        if path == "/private.csv" and self.headers["Authorization"] != "Basic dXNlcjpzOmVjcmV0":
            self.send_error(401)
            return
        self.send_response(200)
        body = gzip.compress(CONTENT) if path.endswith(".gz") else CONTENT
        if path.endswith("/asked.csv"):
            body = self.path.encode()
        if path == "/odd.csv":
            self.send_header("Content-Length", "many")
            self.end_headers()
            self.wfile.write(body)
            return
        if path == "/chunks.csv":
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            self.wfile.write(b"ffff\r\nbroken off")
            return
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[:-10] if path == "/short.csv" else body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 the base class's name
        pass


@pytest.fixture(scope="module")
def site() -> Iterator[str]:
    """A web server that publishes measurements, more or less."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Publisher) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gzip"])
def test_a_file_is_read_as_often_as_needed_whatever_its_name(packed: bool, tmp_path: Path) -> None:
    file = tmp_path / "measurements"
    file.write_bytes(gzip.compress(CONTENT) if packed else CONTENT)
    with open_source(str(file), NO_INPUT) as source:
        assert content(source) == content(source) == CONTENT
        assert (source.name, source.size) == (str(file), file.stat().st_size)


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gzip"])
def test_progress_is_told_in_bytes_as_they_came(packed: bool, tmp_path: Path) -> None:
    file = tmp_path / "measurements.csv"
    file.write_bytes(gzip.compress(os.urandom(5_000_000)) if packed else CONTENT * 100)
    told: list[bytes] = []
    with (
        open_source(str(file), NO_INPUT) as source,
        source.open(lambda part: told.append(bytes(part))) as stream,
    ):
        while stream.read(100_000):
            pass
    assert b"".join(told) == file.read_bytes()
    assert len(told) > 2
    assert told[-1] == b""


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gzip"])
def test_a_file_that_turns_out_unusable_passes_whole_all_the_same(packed: bool, tmp_path: Path) -> None:
    file = tmp_path / "measurements.csv"
    file.write_bytes(gzip.compress(os.urandom(5_000_000)) if packed else CONTENT * 100)
    told: list[bytes] = []

    def look(source: Source) -> None:
        with source.open(lambda part: told.append(bytes(part))) as stream:
            stream.read(10)
            raise UnusableInput("no header")

    with open_source(str(file), NO_INPUT) as source, pytest.raises(UnusableInput, match="no header"):
        look(source)
    assert b"".join(told) == file.read_bytes()
    assert told[-1] == b""


def test_a_gzip_file_of_several_parts_is_read_whole(tmp_path: Path) -> None:
    file = tmp_path / "measurements.csv.gz"
    file.write_bytes(gzip.compress(CONTENT) + gzip.compress(b"more\n") + b"\0" * 100)
    with open_source(str(file), NO_INPUT) as source:
        assert content(source) == CONTENT + b"more\n"


def test_standard_input_is_read_as_often_as_needed() -> None:
    with open_source("-", io.BytesIO(gzip.compress(CONTENT))) as source:
        assert content(source) == content(source) == CONTENT
        assert source.name == "-"
    assert not source.path.exists()


def test_a_pipe_is_read_as_often_as_needed(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_bytes, args=(CONTENT,))
    writer.start()
    with open_source(str(pipe), NO_INPUT) as source:
        assert content(source) == content(source) == CONTENT
        assert source.name == str(pipe)
    writer.join()
    assert not source.path.exists()


@pytest.mark.parametrize("name", ["measurements.csv", "measurements.csv.gz"])
def test_a_url_is_read_as_often_as_needed(name: str, site: str) -> None:
    with open_source(f"{site}/{name}", NO_INPUT) as source:
        assert content(source) == content(source) == CONTENT
        assert source.name == f"{site}/{name}"
    assert not source.path.exists()


def test_a_urls_secrets_are_no_part_of_its_name(site: str) -> None:
    with open_source(f"{site}/measurements.csv?token=secret", NO_INPUT) as source:
        assert source.name == f"{site}/measurements.csv?…"
    with_password = site.replace("//", "//user:s%3Aecret@") + "/missing.csv?token=secret"
    with pytest.raises(UnusableInput) as refusal, open_source(with_password, NO_INPUT):
        pass
    assert "secret" not in str(refusal.value)


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("http://user:secret@[::1/x.csv?token=secret", "http://…: could not be fetched: Invalid IPv6 URL"),
        (
            "http://user:secret@h/x y.csv?token=secret",
            "http://h/x y.csv?…: could not be fetched: the URL has a port that is no number, or a space, ",
        ),
    ],
)
def test_a_malformed_urls_secrets_are_not_told(url: str, told: str) -> None:
    with pytest.raises(UnusableInput) as refusal, open_source(url, NO_INPUT):
        pass
    assert str(refusal.value).startswith(told)
    assert "secret" not in str(refusal.value)


def test_a_size_that_a_server_tells_wrongly_is_no_fault_of_the_measurements(site: str) -> None:
    with open_source(f"{site}/odd.csv", NO_INPUT) as source:
        assert content(source) == CONTENT


def test_a_user_and_password_in_a_url_are_sent_to_that_server_alone(site: str) -> None:
    private = site.replace("//", "//user:s%3Aecret@")
    with open_source(private + "/private.csv", NO_INPUT) as source:
        assert content(source) == CONTENT
        assert source.name == site + "/private.csv"
    with (
        pytest.raises(UnusableInput, match="the server answered 401 Unauthorized"),
        open_source(private + "/elsewhere.csv", NO_INPUT),
    ):
        pass


@pytest.mark.parametrize(
    ("path", "kind", "message"),
    [
        ("/missing.csv", UnusableInput, "the server answered 404 Not Found"),
        ("/busy.csv", Unfetched, "the server answered 503 Service Unavailable"),
        ("/limited.csv", Unfetched, "the server answered 429 Too Many Requests"),
        ("/short.csv", Unfetched, "25990 of 26000 bytes arrived; try again"),
        ("/chunks.csv", Unfetched, "the server broke off; try again"),
    ],
)
def test_what_a_server_fails_to_give_is_told(
    path: str, kind: type[UnusableInput], message: str, site: str
) -> None:
    with pytest.raises(UnusableInput) as refusal, open_source(site + path, NO_INPUT):
        pass
    assert str(refusal.value) == f"{site}{path}: {message}"
    assert type(refusal.value) is kind


@pytest.mark.parametrize("path", ["/circle.csv", "/local.csv", "/nowhere.csv"])
def test_a_redirect_that_leads_to_no_file_is_told_in_a_sentence(path: str, site: str) -> None:
    with pytest.raises(UnusableInput) as refusal, open_source(site + path, NO_INPUT):
        pass
    assert str(refusal.value) == (
        f"{site}{path}: the server redirects in a circle, to nowhere, or to what is not read"
    )


def test_letters_that_no_url_has_are_encoded_on_their_way(site: str) -> None:
    with open_source(f"{site}/évora%20b/asked.csv?año=日本&x=%C3%A9", NO_INPUT) as source:
        assert content(source) == b"/%C3%A9vora%20b/asked.csv?a%C3%B1o=%E6%97%A5%E6%9C%AC&x=%C3%A9"
        assert source.name == f"{site}/évora%20b/asked.csv?…"
    with (
        pytest.raises(
            UnusableInput, match=r"^http://évora\.invalid/x\.csv: could not be fetched: (?!.*codec)"
        ),
        open_source("http://évora.invalid/x.csv", NO_INPUT),
    ):
        pass


OTHER_SCHEMES = {
    "ftp://user:secret@h/x.csv?token=secret": "ftp://h/x.csv?…: ftp is not read",
    "file:///x.csv": "file:///x.csv: file is not read",
    "S3://bucket/x.csv": "s3://bucket/x.csv: S3 is not read",
}


@pytest.mark.parametrize(("place", "told"), OTHER_SCHEMES.items())
def test_a_url_that_is_not_read_is_told_before_and_when_it_is_opened(place: str, told: str) -> None:
    with pytest.raises(UnusableInput) as refusal:
        check_source(place)
    assert str(refusal.value) == f"{told}; give an http or https URL, or the path of a file"
    with pytest.raises(UnusableInput, match=re.escape(str(refusal.value))), open_source(place, NO_INPUT):
        pass


def test_a_server_that_is_not_there_is_told() -> None:
    with (
        pytest.raises(Unfetched, match=r"^http://127\.0\.0\.1:9/x\.csv: could not be fetched: "),
        open_source("http://127.0.0.1:9/x.csv", NO_INPUT),
    ):
        pass


@pytest.mark.parametrize("url", ["http://", "http:///x.csv", "http://a b/x.csv", "http://h:x/"])
def test_a_malformed_url_is_told(url: str) -> None:
    with pytest.raises(UnusableInput, match="could not be fetched"), open_source(url, NO_INPUT):
        pass


def test_files_that_cannot_be_opened_are_told_by_name(tmp_path: Path) -> None:
    missing = tmp_path / "missing.csv"
    with pytest.raises(UnusableInput) as refusal, open_source(str(missing), NO_INPUT):
        pass
    assert str(refusal.value) == f"{missing}: No such file or directory"
    with pytest.raises(UnusableInput) as refusal, open_source(str(tmp_path), NO_INPUT):
        pass
    assert str(refusal.value) == f"{tmp_path}: Is a directory"


def test_a_file_whose_name_is_no_utf_8_is_read_and_goes_by_a_name_that_can_be_stored(
    tmp_path: Path,
) -> None:
    place = os.fsdecode(os.fsencode(tmp_path) + b"/Ja\xe9n.csv")
    Path(place).write_bytes(CONTENT)
    with open_source(place, NO_INPUT) as source:
        assert source.name == f"{tmp_path}/Ja�n.csv"
        assert content(source) == CONTENT
    check_source(place)
    Path(place).unlink()
    with pytest.raises(UnusableInput) as refusal, open_source(place, NO_INPUT):
        pass
    assert str(refusal.value) == f"{tmp_path}/Ja�n.csv: No such file or directory"
    with pytest.raises(UnusableInput) as refusal:
        check_source(place)
    assert str(refusal.value) == f"{tmp_path}/Ja�n.csv: no such file"


@pytest.fixture(params=["standard input", "pipe", "URL"])
def place(request: pytest.FixtureRequest, tmp_path: Path, site: str) -> Iterator[str]:
    """What has to be kept in a temporary file while it is loaded."""
    if request.param == "standard input":
        yield "-"
    elif request.param == "URL":
        yield f"{site}/measurements.csv"
    else:
        pipe = tmp_path / "pipe"
        os.mkfifo(pipe)

        def write() -> None:
            with suppress(BrokenPipeError):  # Who refuses it reads it not to its end.
                pipe.write_bytes(CONTENT)

        writer = threading.Thread(target=write)
        writer.start()
        yield str(pipe)
        writer.join()


@contextmanager
def room_for(byte_count: int) -> Iterator[None]:
    """Let no file of this process grow larger, as on a disk that is full then."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (byte_count, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("room", [0, 10_000])
def test_what_there_is_no_room_to_keep_is_told_and_nothing_is_left(
    place: str, room: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = tmp_path / "temporary"
    directory.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(directory))
    with (
        room_for(room),
        pytest.raises(UnusableInput) as refusal,
        open_source(place, io.BytesIO(CONTENT)),
    ):
        pass
    assert str(refusal.value) == (
        f"{place}: no room to keep it in {directory}: File too large; name a directory with room in TMPDIR"
    )
    assert list(directory.iterdir()) == []


def test_a_directory_in_which_nothing_can_be_kept_is_told(
    place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "missing"))
    with pytest.raises(UnusableInput) as refusal, open_source(place, io.BytesIO(CONTENT)):
        pass
    assert str(refusal.value) == (
        f"{place}: no room to keep it in {tmp_path}/missing: No such file or directory; "
        "name a directory with room in TMPDIR"
    )


@pytest.mark.parametrize("fault", [OSError("ours"), ValueError("ours")], ids=repr)
def test_a_fault_of_who_reads_a_source_is_not_called_one_of_the_source(place: str, fault: Exception) -> None:
    with pytest.raises(type(fault), match="ours"), open_source(place, io.BytesIO(CONTENT)):
        raise fault


def test_a_standard_input_that_fails_is_told() -> None:
    class Failing(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            raise OSError(5, "Input/output error")

    with pytest.raises(UnusableInput, match=r"^-: Input/output error$"), open_source("-", Failing()):
        pass


def test_a_disk_that_fails_while_reading_is_told(tmp_path: Path) -> None:
    # Reading a process's own memory from address 0 is the input error that any machine can make.
    if not Path("/proc/self/mem").exists():
        pytest.skip("no /proc/self/mem on this system")
    with pytest.raises(UnusableInput, match=r"^it can't be read: "):
        content(Source("mem", Path("/proc/self/mem"), 0))
