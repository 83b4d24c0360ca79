"""The image's own step on the way up: it loads what is named, and nothing where nothing is."""

import http.server
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import Database, airq_environment
from tests.documents import REPOSITORY
from tests.integration.publishing import HEADER

STEP = REPOSITORY / "deploy" / "images" / "api" / "airq-load-csv"


def run(database: Database | None, *options: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    """Run the step with this Python, which has airq, in place of the image's."""
    return subprocess.run(
        [sys.executable, STEP, *options],
        capture_output=True, text=True, check=False, timeout=60,
        env=airq_environment(database) | {"no_proxy": "*"} | environment,
    )  # fmt: skip


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    """Where a CSV is served that has a row, another one forty times, and a line that is none."""
    rows = ("2025-01-01 00:00:00,aq_one,1,2,3,4,5,6", *["2025-01-01 01:00:00,aq_one,1,2,3,4,5,6"] * 40, "bad")
    (tmp_path / "today.csv").write_text("\n".join([HEADER, *rows, ""]))

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *arguments: object) -> None:
            super().__init__(*arguments, directory=os.fspath(tmp_path))  # type: ignore[arg-type]

        def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 its name upstream
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


def test_where_nothing_is_named_nothing_is_loaded_and_it_says_so() -> None:
    done = run(None, "--wait", "10m", AIRQ_CSV="", AIRQ_CSV_URL="")
    assert (done.returncode, done.stdout) == (0, "AIRQ_CSV is not set: nothing is loaded\n")


@pytest.mark.parametrize("variable", ["AIRQ_CSV", "AIRQ_CSV_URL"])
def test_a_url_is_loaded_and_rejected_rows_hold_nothing_back(
    database: Database, address: str, variable: str
) -> None:
    done = run(database, "--wait", "10s", **{variable: f"{address}/today.csv"})
    assert done.returncode == 0, done.stderr
    assert "today.csv: loaded in" in done.stdout + done.stderr
    assert database.fetch("SELECT count(*) FROM airq.measurement") == [(2,)]


def test_a_file_that_is_refused_fails(database: Database, address: str) -> None:
    assert run(database, AIRQ_CSV=f"{address}/tomorrow.csv").returncode == 4
