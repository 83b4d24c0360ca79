"""Makes the base images that the Dockerfiles name, where they can't be pulled.

A look-alike keeps what the Dockerfiles rely on and nothing else. What builds need on this machine alone
(its certificates, where its pip and apt look) goes into the look-alike, so that the Dockerfiles are
those that run everywhere.
"""

import hashlib
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from tests.containers.lookalikes import debian
from tests.containers.lookalikes.debian import CantMake

POSTGRES_CONTEXT = Path(__file__).parent / "postgres"
LABEL = "airq.lookalike"
DEBIAN, POSTGRES, FORKY = "debian:trixie-slim", "postgres:18-trixie", "airq-lookalike/debian:forky"
PULL_SECONDS = 900.0

SLIM = [f"path-exclude=/usr/share/{part}/*" for part in ("doc", "groff", "info", "lintian", "locale", "man")]
CLEAN_APT = """\
DPkg::Post-Invoke { "rm -f /var/cache/apt/archives/*.deb || true"; };
Dir::Cache::pkgcache "";
Dir::Cache::srcpkgcache "";
"""


class Docker(Protocol):
    """Runs `docker` with arguments and returns what it printed."""

    def __call__(self, *arguments: str | Path, check: bool = True, timeout_seconds: float = 600) -> str:
        """Fail where `check` is set and the command failed."""


def ensure(docker: Docker, cache: Path, *, may_make: bool) -> dict[str, str]:
    """Give the engine the base images: pulled where that is possible, else made here.

    Args:
        cache: a directory in which what was made is kept for the next run.
        may_make: the engine runs for tests alone. In a user's own one, look-alikes would stay behind under
            upstream's names, and images to be published would be built on them.

    Returns:
        Each image's name → "upstream" or "look-alike".

    Raises:
        CantMake: neither is possible; the message says why.
    """
    if not may_make:
        for name in (DEBIAN, POSTGRES):
            if not _is_upstreams(docker, name):
                raise CantMake(
                    f"docker pull {name} failed, and look-alikes are made only in an engine that was started "
                    "for the tests (as root, where dockerd is installed and no engine answers)"
                )
        return dict.fromkeys((DEBIAN, POSTGRES), "upstream")

    def make_postgres(key: str) -> None:
        if _key_of(docker, FORKY) != debian_key:
            _import(docker, cache, "forky", FORKY, debian_key)
        docker("build", "--tag", POSTGRES, "--label", f"{LABEL}={key}", POSTGRES_CONTEXT)

    debian_key = _key(*debian.apt_options(), *SLIM, CLEAN_APT, _pip_settings(), _certificates().decode())
    postgres_key = _key(debian_key, *(path.read_text() for path in sorted(POSTGRES_CONTEXT.iterdir())))
    return {
        DEBIAN: _ensure(
            docker, DEBIAN, debian_key, lambda key: _import(docker, cache, "trixie", DEBIAN, key)
        ),
        POSTGRES: _ensure(docker, POSTGRES, postgres_key, make_postgres),
    }


def _ensure(docker: Docker, name: str, key: str, make: Callable[[str], None]) -> str:
    if _key_of(docker, name) != key:
        if _is_upstreams(docker, name):
            return "upstream"
        make(key)
    return "look-alike"


def _is_upstreams(docker: Docker, name: str) -> bool:
    """Tell whether the engine has upstream's image, which is pulled if need be."""
    if _key_of(docker, name) != "":
        # `docker pull` says why it failed; all that matters here is whether the image is there behind it.
        docker("pull", "--quiet", name, check=False, timeout_seconds=PULL_SECONDS)
    return _key_of(docker, name) == ""


def _key_of(docker: Docker, name: str) -> str | None:
    """Return the key of a look-alike, "" of an image from elsewhere, None where there is no such image."""
    inspect = ("image", "inspect", "--format", "{{json .Config.Labels}}", name)
    labels = docker(*inspect, check=False).strip()
    if not labels.startswith(("{", "null")):
        return None
    found = re.search(rf'"{LABEL}":"([0-9a-f]+)"', labels)
    return found[1] if found else ""


def _key(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def _import(docker: Docker, cache: Path, suite: str, name: str, key: str) -> None:
    """Make a file system of a Debian release and import it."""
    cache.mkdir(parents=True, exist_ok=True)
    archive = cache / f"{suite}-{key}.tar"
    if not archive.exists():
        for outdated in cache.glob(f"{suite}-*.tar"):
            outdated.unlink()
        _bootstrap(suite, archive)
    changes = [f"LABEL {LABEL}={key}", 'CMD ["bash"]']
    docker("import", *(f"--change={change}" for change in changes), archive, name)


def _bootstrap(suite: str, archive: Path) -> None:
    if shutil.which("mmdebstrap") is None:
        raise CantMake("the base images can't be pulled, and mmdebstrap, which makes them, is missing")
    with tempfile.TemporaryDirectory(prefix="airq-") as directory:
        uploads = {
            "/etc/apt/apt.conf.d/docker-clean": CLEAN_APT.encode(),
            "/etc/pip.conf": _pip_settings().encode(),
            "/etc/lookalike.pem": _certificates(),
        }
        command = ["mmdebstrap", "--quiet", "--variant=minbase", "--format=tar"]
        command += [f"--aptopt={option}" for option in debian.apt_options()]
        command += [f"--dpkgopt={option}" for option in [*SLIM, "path-include=/usr/share/doc/*/copyright"]]
        # Behind this hook nothing more is fetched; mmdebstrap's own cleaning is held up by CLEAN_APT.
        command.append('--customize-hook=find "$1/var/cache/apt" -type f -delete')
        for number, (target, content) in enumerate(uploads.items()):
            source = Path(directory) / str(number)
            source.write_bytes(content)
            command.append(f"--customize-hook=upload {source} {target}")
        unfinished = archive.with_suffix(".part")
        done = subprocess.run(
            [*command, suite, str(unfinished), debian.mirror()], capture_output=True, text=True, check=False
        )
        if done.returncode:
            unfinished.unlink(missing_ok=True)
            raise CantMake(f"mmdebstrap {suite} failed: {done.stderr.strip()[-800:]}")
        unfinished.rename(archive)


def _pip_settings() -> str:
    """Return a pip.conf with what decides, on this machine, where pip looks and whom it trusts."""
    wanted = ("index-url", "extra-index-url", "trusted-host", "proxy")
    kept = {}
    for name, value in _pip_config().items():
        values = [part for part in value.split() if not part.startswith("file:")]
        if name in wanted and values:
            kept[name] = " ".join(values)
    if _certificates():
        kept["cert"] = "/etc/lookalike.pem"
    return "[global]\n" + "".join(f"{name} = {value}\n" for name, value in sorted(kept.items()))


def _certificates() -> bytes:
    """Return the certificates that this machine's pip trusts, if it was told of any."""
    place = _pip_config().get("cert")
    return Path(place).read_bytes() if place else b""


def _pip_config() -> dict[str, str]:
    listed = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=True
    ).stdout
    return dict(re.findall(r"^(?:global|:env:)\.(?:\.)?([a-z-]+)='(.*)'$", listed, re.MULTILINE))
