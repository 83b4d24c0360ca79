"""Writes .env, and secrets.env of each Kubernetes overlay, from the examples beside them.

Every change-me becomes a secret of its own. A file that exists is never written to: it is checked, and
what it lacks is named. Needs nothing but Python 3.9.
"""

import os
import re
import secrets
import sys
from pathlib import Path

PLACEHOLDER = "change-me"
SECRET_BYTES = 24
ASSIGNMENT = re.compile(r"^([A-Z_][A-Z0-9_]*)=(.*)$", re.MULTILINE)
EXAMPLES = (".env.example", "deploy/kubernetes/*/*/secrets.env.example")


def fill(example: str) -> str:
    """Return the example with a new secret for every placeholder."""

    def line(found: "re.Match[str]") -> str:
        return f"{found[1]}={secrets.token_hex(SECRET_BYTES)}" if found[2] == PLACEHOLDER else found[0]

    return ASSIGNMENT.sub(line, example)


def faults(written: str, example: str) -> "list[str]":
    """Return what is wrong with a file: secrets that it lacks or that are placeholders."""
    values = dict(ASSIGNMENT.findall(written))
    needed = [name for name, value in ASSIGNMENT.findall(example) if value == PLACEHOLDER]
    return [
        f"{name} is still the placeholder {PLACEHOLDER}" if name in values else f"{name} is missing"
        for name in needed
        if values.get(name, "").startswith(PLACEHOLDER) or not values.get(name)
    ]


def make(example: Path) -> bool:
    """Make or check the file that an example is for; tell whether it can be used."""
    target = example.with_suffix("")
    text = example.read_text(encoding="utf-8")
    try:
        # Its secrets are for the one who made it.
        descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        found = faults(target.read_text(encoding="utf-8"), text)
        for fault in found:
            print(f"{target}: {fault}; write a secret there", file=sys.stderr)
        if not found:
            print(f"{target} is there already; it stays as it is")
        return not found
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(fill(text))
    hint = "; AIRQ_CSV in it names the file to load" if target.name == ".env" else ""
    print(f"wrote {target}, with new secrets{hint}")
    return True


def main() -> int:
    """Make or check every file in the current directory's tree that has an example."""
    made = [make(example) for pattern in EXAMPLES for example in sorted(Path().glob(pattern))]
    return 0 if all(made) else 1


if __name__ == "__main__":
    sys.exit(main())
