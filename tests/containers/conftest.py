"""What the container tests share: an engine, base images, a clone, built images, a running service.

Nothing here is skipped: who asks for these tests wants them to run, and a machine on which they can't
is told why.
"""

import secrets
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import REAL_CSV
from tests.containers import csv_files
from tests.containers.engine import CACHE, Engine, NoEngine, running_engine
from tests.containers.lookalikes import bases
from tests.containers.lookalikes.debian import CantMake
from tests.containers.service import Service
from tests.documents import REPOSITORY
from tests.ports import free_port

TAG, NEXT_TAG = "test", "test-next"


@pytest.fixture(scope="session")
def engine() -> Iterator[Engine]:
    """A Docker engine that has the base images."""
    try:
        with running_engine() as engine:
            bases.ensure(engine.docker, CACHE / "lookalikes", may_make=engine.is_own)
            yield engine
    except (NoEngine, CantMake) as error:
        raise pytest.fail.Exception(f"containers can't run here: {error}", pytrace=False) from None


@pytest.fixture(scope="session")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what a fresh clone would hold, in a directory that containers can read."""
    directory = tmp_path_factory.mktemp("clone")
    for parent in (directory, *directory.parents[:3]):
        if parent.is_relative_to(tmp_path_factory.getbasetemp()):
            parent.chmod(0o755)
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=REPOSITORY, capture_output=True, check=True,
    ).stdout.decode()  # fmt: skip
    for name in filter(None, listed.split("\0")):
        source, target = REPOSITORY / name, directory / name
        if source.is_file():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target)
    return directory


@pytest.fixture(scope="session")
def images(engine: Engine, clone: Path) -> Path:
    """The clone, its images built under two tags; the second stands for the next version."""
    for tag, version in ((TAG, "1.0"), (NEXT_TAG, "2.0")):
        built = engine.run(
            "make", "images", f"TAG={tag}", f"VERSION={version}", "REVISION=0123abc",
            "SOURCE=https://example.org/airq", cwd=clone, timeout_seconds=1800,
        )  # fmt: skip
        assert built.status == 0, (built.out + built.err)[-6000:]
    return clone


@pytest.fixture(scope="session")
def compose_project(engine: Engine, images: Path) -> Iterator[Service]:
    """A project that was made with `make env`; nothing of it runs yet."""
    made = engine.run("make", "env", cwd=images)
    assert made.status == 0, made.err
    name = f"airq-test-{secrets.token_hex(3)}"
    service = Service(engine, images, name, free_port(), images / "measurements.csv", {"AIRQ_TAG": TAG})
    first_rows = REAL_CSV.read_text().partition("\n")[2] if REAL_CSV.exists() else ""
    csv_files.write(service.csv, first_rows)
    try:
        yield service
    finally:
        service.down("--volumes", "--remove-orphans")


@pytest.fixture(scope="session")
def first_up(compose_project: Service) -> Service:
    """The service, brought up from nothing."""
    compose_project.up()
    return compose_project


@pytest.fixture
def service(first_up: Service) -> Service:
    """The service, up and healthy, whatever the test before did to it."""
    if not all(first_up.health(name) == "healthy" for name in ("database", "api", "cache")):
        first_up.up()
    return first_up
