"""The real Varnish for tests: in the built image, in a Debian of its own, or this machine's."""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.containers.lookalikes import debian

REPOSITORY = Path(__file__).resolve().parents[2]
SCRIPTS = Path(__file__).resolve().parent
IMAGE_FOLDER = Path(os.environ.get("AIRQ_CACHE_FOLDER") or REPOSITORY / "deploy" / "images" / "cache")
"""What is tested; mutations.py names a folder with a broken rule in its place."""

HOSTS = Path("/etc/hosts")
KEPT = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "airq" / "varnish"
"""The Debian of its own is kept here between runs."""

ASKED = "AIRQ_TEST_CACHE" in os.environ
WHY_NOT = "it needs Varnish 7.7 and some minutes; make test-cache runs it"
"""Why tests with the real Varnish are skipped unless they are asked for."""

SUITE = "trixie"
PACKAGES = ("varnish", "varnish-modules")
LEAST_VERSION = (7, 7)
TEST_TIMEOUT_SECONDS = 600

_ENTER = """
set -e
root=$1 folder=$2 tests=$3 hosts=$4
mount --bind "$folder" "$root/etc/airq-cache"
mount --bind "$tests" "$root/tests"
mount --bind "$hosts" "$root/etc/hosts"
mount -t proc proc "$root/proc"
mount -t tmpfs -o exec,mode=1777 tmpfs "$root/tmp"
mount -t tmpfs -o exec,uid=10002,gid=10002,mode=0700,size=128m tmpfs "$root/var/lib/varnish"
mount -o remount,bind,ro "$root/etc/airq-cache"
shift 4
cd /
exec chroot "$@"
"""
"""Enters the Debian of its own; what is mounted there is gone with the process."""


class NoVarnish(Exception):
    """No Varnish can be had here; the message says what to do."""


@dataclass(frozen=True)
class Varnish:
    """A place where varnishd and varnishtest run.

    Args:
        kind: `image`, `chroot` or `machine`.
        where: the image's name, or the root directory.
    """

    kind: str
    where: str

    def run_scripts(
        self, scripts: Sequence[Path], folder: Path = IMAGE_FOLDER, jobs: int = 4, limit_seconds: int = 120
    ) -> tuple[dict[str, bool], str]:
        """Run .vtc scripts under the rules of a folder like deploy/images/cache.

        Returns:
            Script's name → whether it passed, and what was printed.
        """
        inside, command = self._varnishtest(folder)
        parameters = " ".join((folder / "parameters").read_text().split())
        command += [
            "-k",
            f"-j{jobs}",
            "-t",
            str(limit_seconds),
            "-D",
            f"parameters={parameters}",
            "-D",
            f"vcl={inside}/vcl",
        ]
        tests = SCRIPTS if self.kind == "machine" else Path("/tests")
        done = subprocess.run(
            [*command, *(str(tests / script.name) for script in scripts)],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=TEST_TIMEOUT_SECONDS,
            check=False,
        )
        said = done.stdout + done.stderr
        ended = re.findall(r"^#? +top +TEST (\S+) (passed|FAILED)", said, re.MULTILINE)
        return {Path(name).name: outcome == "passed" for name, outcome in ended}, said

    def _varnishtest(self, folder: Path) -> tuple[str, list[str]]:
        """Return where the folder is found from inside, and the command that runs varnishtest there."""
        if self.kind == "machine":
            return str(folder), ["varnishtest"]
        if self.kind == "chroot":
            return "/etc/airq-cache", [*self._enter(folder), self.where, "varnishtest"]
        command = [*self._docker_run(folder), "--entrypoint", "varnishtest", self.where]
        return "/etc/airq-cache", command

    @contextmanager
    def serving(
        self, settings: Mapping[str, str], log: Path, hosts: Path = HOSTS
    ) -> Iterator["subprocess.Popen[bytes]"]:
        """Run the image's entrypoint with these settings; it is ended behind the block.

        Args:
            log: where its output goes.
            hosts: takes the place of /etc/hosts, in a Debian of its own alone.
        """
        names = [name for name in os.environ if not name.startswith("AIRQ_")]
        environment = {**{name: os.environ[name] for name in names}, **settings}
        if self.kind == "image":
            command = [*self._docker_run(IMAGE_FOLDER), "--init=false", "--network", "host"]
            command += ["--ulimit", "nofile=1024:65536"]
            for name in settings:
                command += ["--env", name]
            command.append(self.where)
        elif self.kind == "chroot":
            # As few open files as newer engines give.
            command = ["prlimit", "--nofile=1024:", *self._enter(IMAGE_FOLDER, hosts)]
            command += ["--userspec=10002:10002", self.where]
            command += ["/usr/bin/env", "TMPDIR=/var/lib/varnish", "/bin/sh", "/etc/airq-cache/entrypoint.sh"]
        else:
            raise NoVarnish("the entrypoint runs in the image or in a Debian of its own")
        with (
            log.open("wb") as out,
            subprocess.Popen(command, env=environment, stdout=out, stderr=out) as process,
        ):
            try:
                yield process
            finally:
                process.terminate()
                process.wait(30)

    def _docker_run(self, folder: Path) -> list[str]:
        """Return the command for a container with the working tree's files in the place of the image's."""
        command = ["docker", "run", "--rm", "--read-only", "--cap-drop", "ALL"]
        command += ["--tmpfs", "/var/lib/varnish:exec,uid=10002,gid=10002,mode=0700,size=128m"]
        mounts = {
            SCRIPTS: "/tests",
            folder: "/etc/airq-cache",
            folder / "entrypoint.sh": "/usr/local/bin/airq-cache",
        }
        for here, there in mounts.items():
            command += ["--volume", f"{here}:{there}:ro"]
        return command

    def _enter(self, folder: Path, hosts: Path = HOSTS) -> list[str]:
        arguments = (self.where, str(folder), str(SCRIPTS), str(hosts))
        return ["unshare", "--mount", "sh", "-c", _ENTER, "enter", *arguments]


def find_varnish() -> Varnish:
    """Return the first that is there: the built image, a Debian of its own, this machine's.

    Raises:
        NoVarnish: there is none, and none can be made.
    """
    image = os.environ.get("AIRQ_CACHE_IMAGE") or f"airq-cache:{os.environ.get('TAG') or 'dev'}"
    if _has_image(image):
        return Varnish("image", image)
    # Before this machine's own, in which the entrypoint does not run.
    if os.geteuid() == 0 and (_is_debian_made() or shutil.which("mmdebstrap")):
        if not _is_debian_made():
            _make_debian()
        return Varnish("chroot", str(KEPT / "root"))
    if _machine_version() >= LEAST_VERSION:
        return Varnish("machine", "/")
    raise NoVarnish(
        "the cache's rules need Varnish 7.7: name a built image with AIRQ_CACHE_IMAGE, install Varnish, "
        "or run this as root on a Debian with mmdebstrap"
    )


def _has_image(name: str) -> bool:
    """Tell whether a Docker engine answers that holds an image."""
    if shutil.which("docker") is None:
        return False
    asked = ["docker", "image", "inspect", name]
    return subprocess.run(asked, capture_output=True, check=False, timeout=30).returncode == 0


def _machine_version() -> tuple[int, ...]:
    if shutil.which("varnishtest") is None or shutil.which("varnishd") is None:
        return (0,)
    said = subprocess.run(["varnishd", "-V"], capture_output=True, text=True, check=False).stderr
    found = re.search(r"varnish-(\d+)\.(\d+)", said)
    return tuple(map(int, found.groups())) if found else (0,)


def _is_debian_made() -> bool:
    """Tell whether the Debian of its own is there, with what belongs into it by now."""
    return (KEPT / "complete").exists() and (KEPT / "complete").read_text() == _debian_holds()


def _debian_holds() -> str:
    return " ".join((SUITE, *PACKAGES)) + "\n"


def _make_debian() -> None:
    """Unpack a Debian with Varnish from the mirror that this machine's own apt uses."""
    shutil.rmtree(KEPT, ignore_errors=True)
    KEPT.mkdir(parents=True)
    root = KEPT / "root"
    command = ["mmdebstrap", "--quiet", "--variant=minbase", f"--include={','.join(PACKAGES)}"]
    try:
        command += [f"--aptopt={option}" for option in debian.apt_options()]
        command += [SUITE, str(root), debian.mirror()]
    except debian.CantMake as error:
        raise NoVarnish(str(error)) from None
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise NoVarnish(f"mmdebstrap failed: {done.stderr.strip()[-800:]}")
    (root / "etc/airq-cache").mkdir()
    (root / "tests").mkdir()
    (root / "etc/hosts").touch()
    (KEPT / "complete").write_text(_debian_holds())
