"""What the cache's rules and the API both say, each in its own language, is the same."""

import re

from airq.api import envelope, parameters, problems
from airq.api.caching import STALE_IF_ERROR_SECONDS, STALE_WHILE_REVALIDATE_SECONDS
from airq.api.routes import LATEST, LISTING
from tests.cache.varnish import IMAGE_FOLDER, SCRIPTS

RULES = IMAGE_FOLDER / "vcl"
EVERYTHING = "\n".join(path.read_text() for path in sorted(RULES.glob("*.vcl")))


def only(pattern: str, text: str) -> str:
    """Return the group of the one thing that a pattern finds."""
    found = set(re.findall(pattern, text))
    assert len(found) == 1, found
    return str(found.pop())


def test_the_same_tracking_parameters_play_no_part() -> None:
    stripped = only(r"\(\?:\(\?:(utm[^)]+)\)", (RULES / "keys.vcl").read_text())
    assert stripped == parameters._TRACKING.pattern


def test_the_same_parameters_are_known() -> None:
    rules = (RULES / "keys.vcl").read_text()
    for path, known in (("/air_quality", LISTING), ("/air_quality/latest", LATEST)):
        names = only(re.escape(f'"^{path}\\?(?:(?:') + r"([a-z|]+)\)=", rules)
        assert names.split("|") == [parameter.name for parameter in known]


def test_the_longest_target_is_the_same() -> None:
    assert int(only(r"str\.count\(req\.url\) > (\d+)", EVERYTHING)) == envelope.LONGEST_TARGET


def test_the_api_takes_all_headers_that_the_cache_takes_and_what_it_adds() -> None:
    """Else one client's headers would make a fault of a fetch whose answer is for all."""
    parameters = (IMAGE_FOLDER / "parameters").read_text()
    largest, longest = (
        int(only(rf"-p {name}=(\d+)k", parameters)) * 1024 for name in ("http_req_size", "http_req_hdr_len")
    )
    assert largest >= envelope.LONGEST_TARGET + longest
    assert largest + 1024 <= envelope.LARGEST_HEADERS


def test_browsers_may_read_the_same_headers_of_problems() -> None:
    assert only(r'var\.set\("exposed", "([^"]+)"\)', EVERYTHING) == envelope.EXPOSED_HEADERS


def test_problems_of_the_same_kind_have_the_same_title_and_status() -> None:
    text = (RULES / "answering.vcl").read_text()
    titles = dict(
        re.findall(r'resp\.reason == "([a-z-]+)"\) \{\n(?:[^}]*?)var\.set\("title", "([^"]+)"\)', text)
    )
    statuses = {kind: int(status) for status, kind in re.findall(r'synth\((\d+), "([a-z-]+)"\)', EVERYTHING)}
    shared = titles.keys() & problems.KINDS.keys()
    assert shared >= {"method-not-allowed", "uri-too-long", "not-found"}
    for kind in shared:
        assert problems.KINDS[kind] == (statuses[kind], titles[kind])


def test_stale_answers_are_given_for_as_long_as_the_api_says() -> None:
    text = EVERYTHING
    assert int(only(r"obj\.ttl \+ (\d+)s >= 0s", text)) == STALE_WHILE_REVALIDATE_SECONDS
    assert int(only(r"beresp\.grace = (\d+)h", text)) * 3600 == STALE_IF_ERROR_SECONDS


def test_every_file_of_rules_is_part_of_the_whole() -> None:
    included = set(
        re.findall(r'include "([a-z]+\.vcl)"', EVERYTHING + (IMAGE_FOLDER / "entrypoint.sh").read_text())
    )
    assert included == {path.name for path in RULES.glob("*.vcl")}


def test_every_script_is_said_to_notice_a_broken_rule_that_is_there() -> None:
    from tests.cache.mutations import MUTATIONS, is_python

    scripts = {mutation.script for mutation in MUTATIONS if not is_python(mutation.script)}
    assert scripts == {path.stem for path in SCRIPTS.glob("*.vtc")}
    for mutation in MUTATIONS:
        found = (IMAGE_FOLDER / mutation.file).read_text().count(mutation.old)
        assert found == 1 or (mutation.every and found), mutation
