"""`make run` hands a file's name over as it is."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.documents import REPOSITORY


@pytest.mark.parametrize("by", ["argument", "environment"])
@pytest.mark.parametrize(
    "name", ["plain.csv", "with space.csv", "$x$(x)${x}.csv", 'it\'s "quoted".csv', "`id`;#\\.csv", ""]
)
def test_make_run_loads_a_file_of_any_name(tmp_path: Path, name: str, by: str) -> None:
    if shutil.which("make") is None:
        pytest.skip("make is not installed")
    (tmp_path / "bin").mkdir()
    airq = tmp_path / "bin" / "airq"
    airq.write_text("#!/bin/sh\nprintf '%s\\n' \"$@\"\n")
    airq.chmod(0o755)
    for stamp in (".made", ".runs"):  # Nothing is to be installed.
        (tmp_path / stamp).touch()
    done = subprocess.run(
        ["make", "-s", "run", f"VENV={tmp_path}", *([f"CSV={name}"] if by == "argument" else [])],
        cwd=REPOSITORY,
        env={key: value for key, value in os.environ.items() if not key.startswith(("MAKE", "MFLAGS"))}
        | {"x": "expanded"}
        | ({"CSV": name} if by == "environment" else {}),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == ""
    assert done.stdout.splitlines() == ["serve", *(["--load", name] if name else ["--sample"])]
