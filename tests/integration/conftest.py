"""What tests of loading share."""

from pathlib import Path

import pytest

from tests.conftest import Database
from tests.integration.publishing import Publisher


@pytest.fixture
def publisher(database: Database, tmp_path: Path) -> Publisher:
    """Who loads files into an empty database."""
    return Publisher(database, tmp_path)
