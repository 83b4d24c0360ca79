"""Writes .env from .env.example, with a secret of its own in the place of every change-me.

An .env that exists is never written to: it is checked, and what it lacks is named.
Needs nothing but Python 3.9.
"""

import os
import re
import secrets
import sys
from pathlib import Path

PLACEHOLDER = "change-me"
SECRET_BYTES = 24
ASSIGNMENT = re.compile(r"^([A-Z_][A-Z0-9_]*)=(.*)$", re.MULTILINE)


def fill(example: str) -> str:
    """Return the example with a new secret for every placeholder."""

    def line(found: "re.Match[str]") -> str:
        return f"{found[1]}={secrets.token_hex(SECRET_BYTES)}" if found[2] == PLACEHOLDER else found[0]

    return ASSIGNMENT.sub(line, example)


def faults(written: str, example: str) -> "list[str]":
    """Return what is wrong with an .env: secrets that it lacks or that are placeholders."""
    values = dict(ASSIGNMENT.findall(written))
    needed = [name for name, value in ASSIGNMENT.findall(example) if value == PLACEHOLDER]
    return [
        f"{name} is still the placeholder {PLACEHOLDER}" if name in values else f"{name} is missing"
        for name in needed
        if values.get(name, "").startswith(PLACEHOLDER) or not values.get(name)
    ]


def main() -> int:
    """Make or check .env in the current directory."""
    example, target = Path(".env.example").read_text(encoding="utf-8"), Path(".env")
    try:
        # Its secrets are for the one who made it.
        descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        found = faults(target.read_text(encoding="utf-8"), example)
        for fault in found:
            print(f".env: {fault}; write a secret there", file=sys.stderr)
        if not found:
            print(".env is there already; it stays as it is")
        return 1 if found else 0
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(fill(example))
    print("wrote .env, with new secrets; AIRQ_CSV in it names the file to load")
    return 0


if __name__ == "__main__":
    sys.exit(main())
