"""Every rule of the cache, by varnishtest against the real Varnish; `make test-cache` runs them."""

import pytest

from tests.cache.varnish import ASKED, SCRIPTS, WHY_NOT, Varnish

RULES = sorted(SCRIPTS.glob("*.vtc"))

pytestmark = pytest.mark.skipif(not ASKED, reason=WHY_NOT)


@pytest.fixture(scope="module")
def outcomes(varnish: Varnish, request: pytest.FixtureRequest) -> tuple[dict[str, bool], str]:
    """What became of the scripts that were asked for; they mostly wait, so they run side by side."""
    asked = {item.callspec.params["name"] for item in request.session.items if hasattr(item, "callspec")
             and "name" in item.callspec.params}  # fmt: skip
    scripts = [script for script in RULES if script.name in asked]
    return varnish.run_scripts(scripts)


@pytest.mark.parametrize("name", [script.name for script in RULES])
def test_the_cache_keeps_its_rule(name: str, outcomes: tuple[dict[str, bool], str]) -> None:
    passed, said = outcomes
    if not passed.get(name):
        lines = [line[:400] for line in said.splitlines()]
        ends = [number for number, line in enumerate(lines) if f"/{name}" in line] or [len(lines)]
        pytest.fail("\n".join(lines[max(ends[0] - 5, 0) : ends[-1] + 1][-400:]))
