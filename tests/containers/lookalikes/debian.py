"""What this machine's package manager knows: its mirror, its options, and packages of other releases."""

import re
import subprocess
from collections.abc import Sequence
from pathlib import Path

CARRIED_OPTIONS = re.compile(r'(Acquire::(?:Check-Valid-Until|Check-Date|https?::Proxy[^ ]*)) "(.*)";')


class CantMake(Exception):
    """This machine lacks what a look-alike is made with; the message says what."""


def mirror() -> str:
    """Return the address of the Debian mirror that this machine itself uses."""
    listed = _run("apt-get", "indextargets", "--format", "$(ORIGIN)|$(LABEL)|$(SITE)")
    for line in listed.splitlines():
        origin, label, site = line.split("|")
        if origin == label == "Debian":
            return site
    raise CantMake("this machine's apt knows no Debian mirror (run: apt-get update)")


def apt_options() -> list[str]:
    """Return the options of this machine's apt that decide whether its mirror can be used."""
    return [f'{name} "{value}";' for name, value in CARRIED_OPTIONS.findall(_run("apt-config", "dump"))]


def unpack(suite: str, packages: Sequence[str], directory: Path) -> None:
    """Unpack packages of another Debian release into a directory; nothing is installed."""
    state = directory / "apt"
    for part in ("lists/partial", "archives/partial"):
        (state / part).mkdir(parents=True, exist_ok=True)
    (state / "sources.list").write_text(f"deb {mirror()} {suite} main\n")
    options = [
        f"-oDir::Etc::sourcelist={state / 'sources.list'}",
        "-oDir::Etc::sourceparts=-",
        f"-oDir::State::lists={state / 'lists'}",
        f"-oDir::Cache={state}",
        "-oAPT::Sandbox::User=root",
    ]
    _run("apt-get", "update", "-qq", *options)
    _run("apt-get", "download", "-qq", *options, *packages, cwd=state)
    for package in state.glob("*.deb"):
        _run("dpkg", "-x", str(package), str(directory))


def _run(*command: str, cwd: Path | None = None) -> str:
    try:
        done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise CantMake(f"{command[0]} is not on this machine") from None
    if done.returncode:
        raise CantMake(f"{' '.join(command[:2])} failed: {done.stderr.strip()[-500:]}")
    return done.stdout
