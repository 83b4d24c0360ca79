"""What tells caches how long an answer holds, when it is still current, and what drops it."""

import hashlib
import re
from collections.abc import Mapping

from airq import __version__
from airq.domain.queries import Format, Query
from airq.domain.tags import tags_asked
from airq.domain.versions import KnownVersions

STALE_WHILE_REVALIDATE_SECONDS = 10
STALE_IF_ERROR_SECONDS = 86_400
_TAG = re.compile(r'(?:W/)?"([^"]*)"')


def entity_tag(path: str, query: str, form: Format, version: int) -> str:
    """Return the ETag of a representation: of what was asked, its format and the data's version.

    It is weak, because the same data may leave compressed or not (RFC 9110, 8.8.3).
    """
    return f'W/"{version:x}-{_digest(path, query, form)}"'


def known_versions(if_none_match: str, path: str, query: str, form: Format) -> KnownVersions:
    """Return the data versions in an If-None-Match header that belong to this query."""
    if not if_none_match:
        return KnownVersions()
    if if_none_match.strip() == "*":
        return KnownVersions(whichever=True)
    digest = _digest(path, query, form)
    versions = []
    for opaque in _TAG.findall(if_none_match):
        version, _, of = opaque.partition("-")
        if of == digest and re.fullmatch(r"[0-9a-f]{1,15}", version):
            versions.append(int(version, 16))
    return KnownVersions(tuple(versions))


def _digest(path: str, query: str, form: Format) -> str:
    text = "\n".join((__version__, path, query, form))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def cache_control(max_age_seconds: int, shared_max_age_seconds: int) -> str:
    """Return the Cache-Control of an answer: short for browsers, longer for caches that are purged."""
    return (
        f"public, max-age={max_age_seconds}, s-maxage={shared_max_age_seconds}, "
        f"stale-while-revalidate={STALE_WHILE_REVALIDATE_SECONDS}, "
        f"stale-if-error={STALE_IF_ERROR_SECONDS}"
    )


def cache_tags(query: Query) -> str:
    """Return the Cache-Tag of a listing."""
    return ",".join(tags_asked(query.stations, query.range.months))


NOT_STORED: Mapping[str, str] = {"cache-control": "no-store"}
