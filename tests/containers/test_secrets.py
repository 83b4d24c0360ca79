"""`make env` writes secrets of its own, and a placeholder that is left is refused at start."""

import re
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.containers import csv_files
from tests.containers.conftest import TAG
from tests.containers.engine import Engine, Finished
from tests.containers.service import Service

NEEDED = (
    "POSTGRES_PASSWORD",
    "AIRQ_OWNER_PASSWORD",
    "AIRQ_LOADER_PASSWORD",
    "AIRQ_READER_PASSWORD",
    "AIRQ_PURGE_TOKEN",
)


@pytest.fixture
def directory(clone: Path, tmp_path: Path) -> Path:
    """What `make env` and Compose need of a clone."""
    for name in ("Makefile", "compose.yaml", ".env.example", "deploy/make_env.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(clone / name, tmp_path / name)
    return tmp_path


def make_env(engine: Engine, directory: Path) -> Finished:
    """Run `make env`."""
    return engine.run("make", "env", cwd=directory)


def values(text: str) -> dict[str, str]:
    """Return the assignments in an .env."""
    return dict(re.findall(r"^([A-Z_]+)=(.*)$", text, re.MULTILINE))


def test_make_env_writes_a_secret_of_its_own_for_every_placeholder(engine: Engine, directory: Path) -> None:
    assert make_env(engine, directory).status == 0
    example = values((directory / ".env.example").read_text())
    written = values((directory / ".env").read_text())
    assert {name for name, value in example.items() if value == "change-me"} == set(NEEDED)
    assert len({written[name] for name in NEEDED}) == len(NEEDED)
    assert all(re.fullmatch("[0-9a-f]{48}", written[name]) for name in NEEDED)
    assert {name: written[name] for name in example if name not in NEEDED} == {
        name: value for name, value in example.items() if name not in NEEDED
    }
    assert (directory / ".env").stat().st_mode & 0o777 == 0o600


def test_make_env_leaves_an_env_as_it_is(engine: Engine, directory: Path) -> None:
    make_env(engine, directory)
    before = (directory / ".env").read_bytes()
    again = make_env(engine, directory)
    assert (again.status, "stays as it is" in again.out) == (0, True)
    assert (directory / ".env").read_bytes() == before


def test_make_env_names_what_an_env_lacks(engine: Engine, directory: Path) -> None:
    (directory / ".env").write_text("POSTGRES_PASSWORD=change-me\nAIRQ_OWNER_PASSWORD=x\n")
    done = make_env(engine, directory)
    assert done.status != 0
    assert "POSTGRES_PASSWORD is still the placeholder" in done.err
    assert "AIRQ_PURGE_TOKEN is missing" in done.err
    assert "AIRQ_OWNER_PASSWORD" not in done.err


def test_without_an_env_compose_says_what_to_run(engine: Engine, directory: Path) -> None:
    done = engine.run("docker", "compose", "up", "--detach", cwd=directory)
    assert done.status != 0
    assert "run make env first" in done.err


@pytest.fixture
def with_placeholders(engine: Engine, images: Path, directory: Path) -> Iterator[Service]:
    """A project of its own whose .env has good secrets; a test spoils one of them."""
    assert make_env(engine, directory).status == 0
    csv_files.write(directory / "measurements.csv")
    name = f"airq-test-{secrets.token_hex(3)}"
    service = Service(engine, directory, name, 0, directory / "measurements.csv", {"AIRQ_TAG": TAG})
    yield service
    service.down("--volumes")


@pytest.mark.parametrize("name", NEEDED)
def test_a_placeholder_is_refused_at_start_by_name(with_placeholders: Service, name: str) -> None:
    with_placeholders.settings[name] = "change-me"
    done = with_placeholders.up(check=False)
    assert done.status != 0
    said = with_placeholders.compose("logs", check=False).out
    assert re.search(rf"{name.removesuffix('_PASSWORD')}.*(placeholder|change-me)", said), said
