"""Every command of the guide to Compose runs, in a clone, and prints what the guide says."""

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.containers.engine import Engine
from tests.documents import agrees, commands
from tests.ports import free_port

GUIDE = "docs/how-to/run-with-compose.md"


@pytest.fixture
def place(engine: Engine, images: Path, clone: Path, tmp_path: Path) -> Iterator[Path]:
    """A clone as the guide finds it, with the files that it loads; its project is named like the folder."""
    for path in tmp_path.parents:
        if path.is_relative_to(tmp_path.parents[1]):
            path.chmod(0o755)
    place = tmp_path / "guide"
    shutil.copytree(clone, place)
    (place / ".env").unlink(missing_ok=True)
    for name, start in (("measurements.csv", "2025-01-01"), ("january.csv", "2025-01-10")):
        simulate = ("simulate", "--stations", "3", "--days", "2", "--start", start, "-o", place / name)
        subprocess.run([sys.executable, "-m", "airq", *simulate], check=True, capture_output=True)
        (place / name).chmod(0o644)
    (place / ".curlrc").write_text("silent\nshow-error\n")
    # The only difference to a reader's machine: the port may be taken, and so may the name.
    compose = (place / "compose.yaml").read_text()
    (place / "compose.yaml").write_text(compose.replace("name: airq\n", "name: airq-guide\n"))
    port = free_port()
    example = (place / ".env.example").read_text()
    (place / ".env.example").write_text(example.replace("127.0.0.1:8080", f"127.0.0.1:{port}"))
    yield place
    engine.run("docker", "compose", "down", "--volumes", cwd=place)


def test_the_guide_works_word_by_word(engine: Engine, place: Path) -> None:
    [port] = re.findall(r"^AIRQ_PUBLISH=127.0.0.1:(\d+)$", (place / ".env.example").read_text(), re.MULTILINE)
    ran = 0
    for command in commands((place / GUIDE).read_text()):
        text = re.sub(r"(?<=127\.0\.0\.1:)8080", port, command.text)
        done = engine.run(
            "sh", "-c", f"{text} 2>&1", cwd=place, environment={"CURL_HOME": str(place)}, timeout_seconds=600
        )
        assert done.status == 0, f"{text}\n{done.out}"
        printed = re.sub(r"\x1b\[[0-9;]*[A-Za-z]", "", done.out)
        assert agrees(command.output, printed), f"line {command.line}: {text}\n{printed}"
        ran += 1
    assert ran > 20


def test_the_guide_names_every_setting_of_the_example(clone: Path) -> None:
    example = (clone / ".env.example").read_text()
    names = re.findall(r"^([A-Z_]+)=", example, re.MULTILINE)
    guide = (clone / GUIDE).read_text()
    assert [name for name in names if name not in guide and not name.endswith("_PASSWORD")] == []
