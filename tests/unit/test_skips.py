"""Where everything is said to be there that tests need, none of them is left out in silence."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import FOR_GOOD
from tests.documents import REPOSITORY

CASES = f"""
import pytest

def test_passes(): pass

def test_calls(): pytest.skip("a tool is missing")

@pytest.mark.skipif(True, reason="a tool is missing")
def test_marked(): pass

@pytest.fixture
def tool(): pytest.skip("a tool is missing")

def test_by_its_fixture(tool): pass

@pytest.mark.skipif(True, reason="{FOR_GOOD}it is made so")
def test_for_good(): pass

@pytest.mark.xfail
def test_known(): assert False
"""


@pytest.mark.parametrize(
    ("setting", "failed", "skipped"), [({}, 0, 4), ({"AIRQ_NO_SKIPS": "1"}, 3, 1)], ids=["usual", "no skips"]
)
def test_a_skip_fails_where_nothing_may_be_missing(
    tmp_path: Path, setting: dict[str, str], failed: int, skipped: int
) -> None:
    cases = tmp_path / "test_cases.py"
    cases.write_text(CASES)
    inherited = {name: value for name, value in os.environ.items() if name != "AIRQ_NO_SKIPS"}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "tests.conftest", "-p", "no:cacheprovider", cases],
        cwd=REPOSITORY, env=inherited | setting, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    counted = {word: int(count) for count, word in re.findall(r"(\d+) (\w+)", done.stdout.splitlines()[-1])}
    wrong = counted.get("failed", 0) + counted.get("errors", 0)
    assert (counted["passed"], counted["xfailed"]) == (1, 1), done.stdout
    assert (wrong, counted["skipped"]) == (failed, skipped), done.stdout
    assert ("AIRQ_NO_SKIPS is set, and this was skipped: a tool is missing" in done.stdout) is bool(failed)
