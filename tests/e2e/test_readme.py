"""Every command of the README and the guides runs, and prints what they say."""

import gzip
import itertools
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from airq import embedded
from tests.documents import DOCUMENTS, REPOSITORY, Command, agrees, commands
from tests.e2e.serving import START_SECONDS, environment, is_ready, reachable_directory
from tests.ports import free_port

ELSEWHERE = {"run-with-compose.md", "deploy-on-kubernetes.md"}
"""Their commands are run by test_guide.py of tests/containers and of tests/deployment."""

GUIDES = [
    document
    for document in DOCUMENTS
    if "```console" in document.read_text() and document.name not in ELSEWHERE
]

NOT_RUN = {
    "git clone ": "what would be cloned is what is being tested",
    "cd airq": "the test is there already",
    ".venv/bin/airq load https://example.org/": "no test asks anybody outside of this machine",
}
"""How a command begins → why it is not run."""

OWN_SERVER = "docs/how-to/use-your-own-postgresql.md"
NEEDED = ("curl", "make", "grep", "diff")
STATUSES = {"refused": 4, "rejected": 3, "airq: error": 1}
"""What a command's output says → its exit status; a document shows a fault by showing its words."""


@dataclass
class Shell:
    """A clone of the repository, as far as commands see it, in which the commands of a document run.

    Args:
        place: its directory.
        settings: environment variables besides those of a new terminal.
    """

    place: Path
    settings: dict[str, str] = field(default_factory=dict)
    _servers: "dict[str, subprocess.Popen[bytes]]" = field(default_factory=dict)
    _ports: dict[str, int] = field(default_factory=dict)
    _starts: Iterator[int] = field(default_factory=itertools.count)

    def port(self, documented: str) -> int:
        """Return the port that stands for a documented one."""
        return self._ports.setdefault(documented, free_port())

    def run(self, command: Command) -> str:
        """Run a command and return what it printed; one that serves goes on running."""
        text = re.sub(r"(?<=127\.0\.0\.1:)\d+", lambda port: str(self.port(port[0])), command.text)
        documented = re.search(r"\bPORT=(\d+)", text)
        if documented:
            text = text.replace(documented[0], f"PORT={self.port(documented[1])}")
        if re.match(r"make run|\.venv/bin/airq serve", text):
            return self._serve(text, documented[1] if documented else "8080", "refused" in command.output)
        done = subprocess.run(
            ["sh", "-c", text],
            cwd=self.place,
            env=self._environment("default", "8080"),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=60,
            check=False,
        )
        printed = done.stdout.decode()
        expected = next((status for word, status in STATUSES.items() if word in command.output), 0)
        # What `&&` and pipes end with is the last program's status, not airq's.
        if text.startswith(".venv/bin/airq ") and "|" not in text:
            assert done.returncode in (expected, 0 if "show" in text else expected), printed
        else:
            assert done.returncode == 0, printed
        return printed

    def _environment(self, data: str, port: str) -> dict[str, str]:
        """Return a new terminal's environment; what lies in the user's own directories stays out of it."""
        metrics_port = self.port("9464" if port == "8080" else f"metrics of {port}")
        chosen = {} if "AIRQ_DATABASE_URL" in self.settings else {
            "AIRQ_DATA_DIRECTORY": str(self.place / "data" / data)
        }  # fmt: skip
        return environment(
            PORT=str(self.port(port)),
            AIRQ_PORT=str(self.port(port)),
            AIRQ_METRICS_PORT=str(metrics_port),
            CURL_HOME=str(self.place),
            **chosen,
            **self.settings,
        )

    def _serve(self, text: str, port: str, is_refused: bool) -> str:
        if port in self._servers:
            self._stop(port)
        data = "default"
        if text.startswith("make"):
            self._check_stamp()
            data = re.sub(r"\W+", "-", text.partition("CSV=")[2].partition(" ")[0]) or "sample"
        log = self.place / ("airq.log" if port == "8080" else f"airq-{port}.log")
        with log.open("wb") as output:
            process = subprocess.Popen(
                ["sh", "-c", f"exec {text}"],
                cwd=self.place,
                env=self._environment(data, port),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._servers[port] = process
        deadline = time.monotonic() + START_SECONDS
        while process.poll() is None and not is_ready(f"http://127.0.0.1:{self.port(port)}"):
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.05)
        assert (process.poll() is not None) is is_refused, log.read_text()
        return log.read_text()

    def _check_stamp(self) -> None:
        """Skip where `make` would install packages first, which is not for a test to do."""
        stamp = ".venv/.runs"
        up_to_date = subprocess.run(["make", "-q", stamp], cwd=self.place, capture_output=True, check=False)
        if up_to_date.returncode != 0:
            pytest.skip("this environment was not made by `make`, or is older than the requirements")

    def _stop(self, port: str) -> None:
        """Press Ctrl-C."""
        process = self._servers.pop(port)
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGINT)
            assert process.wait(30) in (0, 2, 130, -signal.SIGINT)

    def close(self) -> None:
        """End what still serves."""
        for port in list(self._servers):
            self._stop(port)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files that the documents load."""
    place = tmp_path_factory.mktemp("files")

    def simulate(name: str, start: str) -> Path:
        path = place / name
        options = ["--stations", "3", "--days", "2", "--start", start, "--output", str(path)]
        subprocess.run([sys.executable, "-m", "airq", "simulate", *options], check=True, capture_output=True)
        return path

    simulate("measurements.csv", "2025-01-01")
    simulate("january.csv", "2025-01-10")
    february = simulate("february.csv", "2025-02-01")
    (place / "february.csv.gz").write_bytes(gzip.compress(february.read_bytes()))
    rows = {
        "corrected.csv": ["2025-01-01 00:00:00,aq_segovia,99", "2025-01-20 00:00:00,aq_segovia,12"],
        "local.csv": ["2026-03-01 08:00:00,school,41"],
        "marked.csv": [f"2026-03-0{n} 08:00:00,market,{value}" for n, value in enumerate((-1, 7, -9999), 1)],
        "faulty.csv": ["2026-03-02 08:00:00,school,41", "2026-03-02 08:15:00,school,n/a",
                       "2026-03-02 08:30:00,school,40"],
    }  # fmt: skip
    for name, lines in rows.items():
        (place / name).write_text("\n".join(["TimeInstant,id_entity,no2", *lines, ""]))
    return place


@contextmanager
def _own_server() -> Iterator[dict[str, str]]:
    """Run the PostgreSQL that a guide takes for granted; give the settings that it has by then."""
    with reachable_directory() as directory, embedded.running(directory / "server") as server:
        roles = {"DATABASE": "postgres", "LOADER": "airq_loader", "READER": "airq_reader"}
        yield {f"AIRQ_{use}_URL": server.url.replace("postgres@", f"{role}@") for use, role in roles.items()}


@pytest.fixture
def shell(request: pytest.FixtureRequest, files: Path) -> Iterator[Shell]:
    """A terminal in a clone, for one document."""
    missing = [name for name in NEEDED if shutil.which(name) is None]
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)}")
    if not (Path(sys.prefix) / "bin" / "airq").exists():
        pytest.skip("this environment has no `airq` command")
    with ExitStack() as stack:
        place = stack.enter_context(reachable_directory())
        for name in ("Makefile", "pyproject.toml", "requirements", "src"):
            (place / name).symlink_to(REPOSITORY / name)
        (place / ".venv").symlink_to(sys.prefix)
        (place / ".curlrc").write_text("silent\nshow-error\n")
        shutil.copytree(files, place, dirs_exist_ok=True)
        place.chmod(0o755)
        settings = {}
        if request.node.callspec.params["guide"] == REPOSITORY / OWN_SERVER:
            settings = stack.enter_context(_own_server())
        shell = Shell(place, settings)
        stack.callback(shell.close)
        yield shell


@pytest.mark.parametrize("guide", GUIDES, ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_every_command_runs_and_prints_what_the_document_says(guide: Path, shell: Shell) -> None:
    if guide.name == "monitor.md":
        shell.run(Command(0, "make run", ""))
    ran = 0
    for command in commands(guide.read_text()):
        if any(command.text.startswith(beginning) for beginning in NOT_RUN):
            continue
        printed = shell.run(command)
        assert agrees(command.output, printed), f"line {command.line}: {command.text}\n{printed}"
        ran += 1
    assert ran


def test_what_is_not_run_is_in_a_document() -> None:
    texts = [command.text for guide in GUIDES for command in commands(guide.read_text())]
    for beginning in NOT_RUN:
        assert any(text.startswith(beginning) for text in texts), beginning


@pytest.mark.parametrize(
    ("documented", "printed", "same"),
    [
        ("a b", "a  b\n", True),
        ("a b", "a b c", False),
        ("b c", "a b c", False),
        ("a…c", "a b c", True),
        ("…\nc", "a b c", True),
        ("a…", "a b c", True),
        ("a…b…c", "a c b", False),
        ("", "anything", True),
    ],
)
def test_outputs_are_compared_piece_by_piece(documented: str, printed: str, same: bool) -> None:
    assert agrees(documented, printed) is same
