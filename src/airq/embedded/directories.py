"""Where the embedded PostgreSQL keeps its data if nobody says where."""

import hashlib
import os
import re
from pathlib import Path

from airq.domain.errors import ConfigurationError


def default_root() -> Path:
    """Return `/var/lib/airq` for root, otherwise `airq` in the user's XDG data directory.

    Raises:
        ConfigurationError: the user has no home directory.
    """
    if os.geteuid() == 0:
        return Path("/var/lib/airq")
    named = Path(os.environ.get("XDG_DATA_HOME", ""))
    if named.is_absolute():
        return named / "airq"
    try:
        return Path.home() / ".local" / "share" / "airq"
    except RuntimeError:
        raise ConfigurationError(
            f"user {os.geteuid()} has no home directory in which airq's own PostgreSQL could keep its"
            " data; name a directory with --data-directory or AIRQ_DATA_DIRECTORY, or set"
            " AIRQ_DATABASE_URL"
        ) from None


def default_data_directory(source: str | None) -> Path:
    """Give each source of data a directory of its own, the same one at every run.

    Args:
        source: a path or URL of a CSV; None is the sample.

    Returns:
        A path below `default_root()` with the source's stem and a hash of its absolute path or URL.

    Raises:
        ConfigurationError: the user has no home directory.
    """
    if source is None:
        return default_root() / "sample"
    # Not resolved: a link such as latest.csv stays one source when it comes to name another file.
    place = source if "://" in source else os.path.abspath(source)  # noqa: PTH100
    stem = place.partition("?")[0].rpartition("/")[2].partition(".")[0]
    readable = re.sub(r"[^a-z0-9]+", "-", stem.lower()).strip("-")[:32] or "data"
    return default_root() / f"{readable}-{hashlib.sha256(os.fsencode(place)).hexdigest()[:8]}"
