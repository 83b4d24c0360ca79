"""Where the tests' servers keep their data and, if need be, a copy of their programs."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.embedded.processes import WHEEL


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory that every account may enter, as pytest's own for root is not."""
    if WHEEL is None:
        pytest.skip("the extra `embedded` is not installed")
    directory = Path(tempfile.mkdtemp(prefix="airq-test-"))
    directory.chmod(0o755)
    yield directory
    shutil.rmtree(directory)


@pytest.fixture
def programs(place: Path) -> Path:
    """Below which programs are copied that the server's account can't reach where they are installed."""
    return place / "programs"
