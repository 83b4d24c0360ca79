"""The page at /docs and the reference of the HTTP API say what there is, no more and no less."""

import base64
import hashlib
import itertools
import re
from html.parser import HTMLParser
from urllib.parse import urlsplit

import pytest

from airq.api.application import ROUTES
from airq.api.documentation import CONTENT_SECURITY_POLICY, render
from airq.api.guide import MEANINGS, TRIALS
from airq.api.markup import block, element, joined, prose, table
from airq.api.openapi import document
from airq.api.parameters import read_parameters
from airq.api.problems import KINDS
from airq.api.routes import FORMATS, LATEST, LISTING
from airq.api.stylesheet import STYLESHEET
from airq.domain.pollutants import POLLUTANTS
from tests.documents import codes, read, rows, sections

VOID = {"meta", "link"}
OWN_PARAMETERS = {"/air_quality": LISTING, "/air_quality/latest": LATEST}


class Page(HTMLParser):
    """Reads the page strictly: every element ends where it should."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text_of: dict[str, str] = {}
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len(dict(attrs)) == len(attrs)
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        for tag in set(self.open):
            self.text_of[tag] = self.text_of.get(tag, "") + data

    def values(self, attribute: str) -> list[str]:
        return [value for _, attributes in self.elements if (value := attributes.get(attribute)) is not None]


@pytest.fixture(scope="module")
def page() -> Page:
    return Page(render().decode())


def test_every_name_on_the_page_is_there_once(page: Page) -> None:
    names = page.values("id")
    assert len(names) == len(set(names))


def test_every_link_on_the_page_leads_somewhere(page: Page) -> None:
    for link in page.values("href"):
        if link.startswith("#"):
            assert link[1:] in page.values("id"), link
        elif not link.startswith("data:"):
            # Addresses that people try are asked for in the end-to-end tests.
            assert urlsplit(link).path in ROUTES, link


def test_every_kind_of_problem_has_a_section_and_a_meaning(page: Page) -> None:
    assert set(MEANINGS) == set(KINDS)
    assert set(KINDS) <= set(page.values("id"))
    for kind, meaning in MEANINGS.items():
        for text in (meaning.happened, meaning.remedy):
            assert text.endswith("."), kind
            assert text.count("`") % 2 == 0, kind


def test_every_operation_and_parameter_is_on_the_page(page: Page) -> None:
    shown = page.text_of["code"]
    for path, verbs in document()["paths"].items():
        assert path in shown
        assert verbs["get"]["operationId"] in page.values("id")
        for parameter in verbs["get"]["parameters"]:
            assert parameter["name"] in page.text_of["dt"]
    for pollutant in POLLUTANTS:
        assert pollutant.unit in page.text_of["td"]


def test_what_people_may_try_is_allowed() -> None:
    assert set(TRIALS) <= set(document()["paths"])
    for path, trials in TRIALS.items():
        for trial in trials:
            parts = urlsplit(trial.target)
            assert parts.path == path
            read_parameters(parts.query.encode(), OWN_PARAMETERS.get(path, ()))


def test_the_page_loads_nothing_and_runs_nothing(page: Page) -> None:
    assert {tag for tag, _ in page.elements} & {"script", "img", "iframe", "object", "form"} == set()
    assert page.values("src") == []
    assert all(not attribute.startswith("on") for _, found in page.elements for attribute in found)
    assert [attributes["href"] for tag, attributes in page.elements if tag == "link"] == [
        link for link in page.values("href") if link.startswith("data:")
    ]


def test_only_the_page_s_own_style_is_allowed(page: Page) -> None:
    digest = base64.b64encode(hashlib.sha256(page.text_of["style"].encode()).digest()).decode()
    rules = dict(rule.strip().split(" ", 1) for rule in CONTENT_SECURITY_POLICY.split(";"))
    assert rules["default-src"] == "'none'"
    assert rules["style-src"] == f"'sha256-{digest}'"
    assert not page.values("style")


def test_headings_go_down_one_step_at_a_time(page: Page) -> None:
    levels = [int(tag[1]) for tag, _ in page.elements if re.fullmatch(r"h[1-6]", tag)]
    assert levels.count(1) == 1
    assert all(below <= above + 1 for above, below in itertools.pairwise(levels))


def test_the_page_names_its_language_and_can_be_skipped_to_its_content(page: Page) -> None:
    attributes = dict(page.elements)
    assert attributes["html"]["lang"] == "en"
    first_link = next(found for tag, found in page.elements if tag == "a")
    assert first_link["href"] == "#content"
    assert attributes["main"]["id"] == "content"


def _luminance(color: str) -> float:
    """Return a color's relative luminance (WCAG 2.2)."""
    channels = [int(color[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
@pytest.mark.parametrize(
    ("text", "background"),
    [
        ("ink", "paper"), ("ink", "raised"), ("quiet", "paper"), ("quiet", "raised"), ("accent", "paper"),
        ("accent", "accent-paper"), ("quiet", "accent-paper"), ("bad", "raised"), ("paper", "accent"),
    ],
)  # fmt: skip
def test_text_can_be_read_on_its_background(theme: int, text: str, background: str) -> None:
    # WCAG 2.2, 1.4.3: at least 4.5 : 1.
    themes = re.findall(r":root \{(.*?)\}", STYLESHEET, re.DOTALL)
    colors = dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6})", themes[theme]))
    darker, lighter = sorted((_luminance(colors[text]), _luminance(colors[background])))
    assert (lighter + 0.05) / (darker + 0.05) >= 4.5


def test_no_color_of_the_style_is_unused_or_unknown() -> None:
    defined = set(re.findall(r"--([a-z-]+):", STYLESHEET))
    assert defined == set(re.findall(r"var\(--([a-z-]+)\)", STYLESHEET))


HOSTILE = "<script>\"'&"
ESCAPED = "&lt;script&gt;&quot;&#x27;&amp;"


def test_texts_are_escaped_and_html_is_not() -> None:
    assert element("p", HOSTILE, title=HOSTILE) == f'<p title="{ESCAPED}">{ESCAPED}</p>'
    assert element("p", element("b", HOSTILE)) == f"<p><b>{ESCAPED}</b></p>"
    assert joined(HOSTILE, element("b", "x")) == f"{ESCAPED}<b>x</b>"
    assert block(HOSTILE) == f"<pre><code>{ESCAPED}</code></pre>"
    assert prose(f"a `{HOSTILE}` b") == f"a <code>{ESCAPED}</code> b"
    assert ESCAPED in table(HOSTILE, (HOSTILE,), (HOSTILE, HOSTILE))
    assert HOSTILE not in table(HOSTILE, (HOSTILE,), (HOSTILE, HOSTILE))


def test_an_address_in_prose_becomes_a_link() -> None:
    assert prose("see `/stations`.") == 'see <a href="/stations"><code>/stations</code></a>.'
    assert prose("`/stations/{station}`") == "<code>/stations/{station}</code>"


REFERENCE = sections(read("docs/reference/http-api.md"))


def test_the_reference_has_every_route_and_no_other() -> None:
    documented = {path for heading in REFERENCE for path in re.findall(r"`GET (\S+)`", heading)}
    assert documented == {path.replace(":path", "") for path in ROUTES}


@pytest.mark.parametrize("path", [path.replace(":path", "") for path in ROUTES])
def test_the_reference_has_every_parameter_of_a_route_and_no_other(path: str) -> None:
    documented = [codes(name)[0] for name, *_ in rows(REFERENCE[f"`GET {path}`"])]
    assert documented == [parameter.name for parameter in OWN_PARAMETERS.get(path, ())]


def test_the_reference_has_every_kind_of_problem_and_no_other() -> None:
    documented = [(codes(kind)[0], int(status)) for kind, status, _ in rows(REFERENCE["Problems"])]
    assert documented == [(kind, status) for kind, (status, _) in KINDS.items()]


def test_the_reference_has_every_format_and_no_other() -> None:
    assert [codes(name)[0] for name, *_ in rows(REFERENCE["Formats"])] == list(FORMATS)
