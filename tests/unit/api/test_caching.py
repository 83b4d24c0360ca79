"""Entity tags name one version of one query in one format."""

from hypothesis import given
from hypothesis import strategies as st

from airq.api.caching import cache_control, entity_tag, known_versions
from airq.domain.versions import KnownVersions

VERSIONS = st.integers(0, 2**59)


@given(version=VERSIONS, query=st.text(max_size=20))
def test_a_tag_gives_its_version_back_to_its_own_query(version: int, query: str) -> None:
    tag = entity_tag("/air_quality", query, "json", version)
    for sent in (tag, tag.removeprefix("W/"), f'"x", {tag}', f"{tag},{tag}"):
        known = known_versions(sent, "/air_quality", query, "json")
        assert known
        assert version in known
        assert version + 1 not in known
    assert not known_versions(tag, "/air_quality", query, "csv")
    assert not known_versions(tag, "/air_quality", query + "&", "json")
    assert not known_versions(tag, "/air_quality/latest", query, "json")


@given(st.text(max_size=60))
def test_any_header_is_understood_or_knows_nothing(header: str) -> None:
    known = known_versions(header, "/air_quality", "", "json")
    assert known == KnownVersions(whichever=header.strip() == "*")


def test_a_star_is_whichever_version_is_current() -> None:
    known = known_versions(" *", "/air_quality", "", "json")
    assert known
    assert 0 in known
    assert 1_700_000_000_000_000 in known


def test_tags_may_stand_in_a_header_as_they_are() -> None:
    tag = entity_tag("/air_quality", "station=%C3%A9", "json", 1_700_000_000_000_000)
    assert tag.startswith('W/"')
    assert tag.isascii()
    assert " " not in tag


def test_shared_caches_may_keep_answers_longer_than_browsers() -> None:
    assert cache_control(60, 600).startswith("public, max-age=60, s-maxage=600, ")
