"""The page at /docs in a real service and a real browser, and the reference beside what really is."""

import http.server
import json
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import urlsplit

import click
import pytest
from prometheus_client.parser import text_string_to_metric_families

from airq import cli
from airq.api.documentation import HOST, render
from airq.api.guide import PAGING_SCRIPT
from airq.api.problems import KINDS
from airq.config import Settings
from airq.telemetry import events
from airq.telemetry.logs import log_observer
from tests.documents import DOCUMENTS, REPOSITORY, codes, read, rows, sections
from tests.e2e.serving import Served, get, serving

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
needs_browser = pytest.mark.skipif(BROWSER is None, reason="chromium is not installed")


@pytest.fixture(scope="module")
def service() -> Iterator[Served]:
    with serving("--sample") as served:
        yield served


class _Links(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: set[str] = set()
        self.names: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.names.add(found.get("id") or "")
        if tag == "a":
            self.links.add(found["href"] or "")


def test_the_root_leads_to_the_page(service: Served) -> None:
    answer = service.get("/")
    assert (answer.status, answer.headers["location"]) == (302, "/docs")


def test_the_page_is_html_that_caches_may_keep_for_a_while(service: Served) -> None:
    answer = service.get("/docs")
    assert answer.status == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.headers["cache-control"] == "public, max-age=300"
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    # Nothing of the request shows on it, because a cache gives one answer to all.
    assert answer.body == service.get("/docs", host="elsewhere.example").body == render()


def test_whatever_the_page_links_to_answers(service: Served) -> None:
    for link in _Links(service.get("/docs").body.decode()).links:
        if not link.startswith("#"):
            assert service.get(link).status == 200, link


@pytest.mark.parametrize(
    ("target", "accept"),
    [
        ("/air_quality?x=1", "*/*"), ("/air_quality?limit=1&limit=2", "*/*"), ("/air_quality?limit=0", "*/*"),
        ("/air_quality?station=%FF", "*/*"), ("/stations/nowhere", "*/*"), ("/nowhere", "*/*"),
        ("/air_quality", "image/png"), (f"/{'x' * 9000}", "*/*"),
    ],
)  # fmt: skip
def test_a_problem_s_type_leads_to_its_section(service: Served, target: str, accept: str) -> None:
    answer = service.get(target, accept=accept)
    assert answer.status >= 400
    page, _, name = json.loads(answer.body)["type"].partition("#")
    assert name in _Links(service.get(page).body.decode()).names


def test_the_script_that_follows_pages_prints_every_measurement(service: Served) -> None:
    script = PAGING_SCRIPT.replace(HOST, service.url)
    assert script != PAGING_SCRIPT
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True, timeout=60)
    whole = service.get("/air_quality?format=csv&pollutant=no2").body.decode().splitlines()[1:]
    assert done.stdout.decode().splitlines() == [line.replace(",", " ") for line in whole]


def _browse(url: str, directory: Path) -> tuple[str, str, list[str]]:
    """Open a page; return its elements, what the browser said of it, and the URLs that it asked for."""
    assert BROWSER is not None
    log = directory / "net.json"
    options = [
        "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run",
        "--disable-component-update", "--disable-sync", "--enable-logging=stderr",
        # Whatever is asked for, nothing is sent to another machine.
        "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
        f"--user-data-dir={directory / 'profile'}", f"--log-net-log={log}",
    ]  # fmt: skip
    done = subprocess.run(
        [BROWSER, *options, "--dump-dom", url], capture_output=True, timeout=120, check=True
    )
    asked = []
    for event in json.loads(log.read_text())["events"]:
        details = event.get("params", {})
        # The browser's own requests, for instance for its updates, come from no page.
        if "url" in details and details.get("initiator", "").startswith("http"):
            asked.append(details["url"])
    return done.stdout.decode(), done.stderr.decode(), asked


@contextmanager
def _page_server(html: str) -> Iterator[str]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(html.encode())

        def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 named so there
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/"
        finally:
            server.shutdown()
            thread.join()


@needs_browser
def test_a_browser_asks_for_nothing_but_the_page(service: Served, tmp_path: Path) -> None:
    elements, said, asked = _browse(f"{service.url}/docs", tmp_path)
    assert asked == []
    assert "Content Security Policy" not in said
    assert set(KINDS) <= _Links(elements).names


@needs_browser
def test_a_browser_s_requests_and_complaints_would_be_noticed(tmp_path: Path) -> None:
    html = (
        "<meta http-equiv=content-security-policy content=\"style-src 'none'\">"
        "<style>p { color: red }</style><img src=http://elsewhere.example/picture.png>"
    )
    with _page_server(html) as url:
        _, said, asked = _browse(url, tmp_path)
    assert "http://elsewhere.example/picture.png" in asked
    assert "Content Security Policy" in said


def _commands(group: click.Group, name: str) -> dict[str, click.Command]:
    found: dict[str, click.Command] = {}
    for part, command in group.commands.items():
        found[f"{name} {part}"] = command
        if isinstance(command, click.Group):
            found |= _commands(command, f"{name} {part}")
    return found


CLI = sections(read("docs/reference/cli.md"))
COMMANDS = _commands(cli.airq, "airq")


def test_the_reference_has_every_command_and_no_other() -> None:
    documented = {name for heading in CLI for name in codes(heading)}
    assert documented == set(COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_the_reference_has_every_option_of_a_command_and_no_other(name: str) -> None:
    tables = [cells for cells in rows(CLI[f"`{name}`"]) if cells[0].startswith("`-")]
    documented = {code.split()[0] for cells in tables for code in codes(cells[0])}
    options = [option for option in COMMANDS[name].params if isinstance(option, click.Option)]
    assert documented == {spelling for option in options for spelling in option.opts}


def test_the_reference_has_every_exit_status_and_no_other() -> None:
    documented = {int(status) for cells in rows(CLI["Command line"]) for status in cells[0].split(",")}
    hung_up, interrupted, unread, terminated = 129, 130, 141, 143
    ours = {0, cli.FAILED, cli.MISUSED, cli.PARTIAL, cli.REFUSED}
    assert documented == ours | {hung_up, interrupted, unread, terminated}


def test_the_reference_has_every_setting_with_its_default_and_no_other() -> None:
    documented = {
        codes(name)[0]: codes(default)[0] if default else None
        for name, default, _ in rows(read("docs/reference/settings.md"))
    }
    declared = {field.metadata["name"]: field.default for field in fields(Settings) if field.metadata}
    shown = {
        name: f"{default:g}" if isinstance(default, float) else str(default) if default is not None else None
        for name, default in declared.items()
    }
    assert documented == shown


def test_no_document_names_a_setting_that_does_not_exist() -> None:
    declared = {field.metadata["name"] for field in fields(Settings) if field.metadata}
    # Containers and Compose have some of their own.
    deployed = [REPOSITORY / "compose.yaml", REPOSITORY / ".env.example", *(REPOSITORY / "deploy").rglob("*")]
    for file in deployed:
        if file.is_file():
            declared |= _settings_in(file)
    for path in DOCUMENTS:
        assert _settings_in(path) <= declared, path


def _settings_in(path: Path) -> set[str]:
    return set(re.findall(r"\bAIRQ_[A-Z_]*[A-Z]\b", path.read_text()))


def test_the_reference_has_every_metric_with_its_labels_and_no_other(service: Served) -> None:
    service.get("/air_quality?limit=1")
    scraped = get(service.metrics_url).body.decode()
    actual = {}
    for family in text_string_to_metric_families(scraped):
        if family.name.startswith(("python_", "process_")) or family.name.endswith("_created"):
            continue
        name = f"{family.name}_total" if family.type == "counter" else family.name
        labels = {label for sample in family.samples for label in sample.labels} - {"le"}
        actual[name] = (family.type, labels)
    documented = {
        codes(name)[0]: (kind, set(codes(labels)))
        for name, kind, labels, _ in rows(read("docs/reference/metrics.md"))
    }
    assert documented == actual


def test_no_document_names_a_metric_that_does_not_exist() -> None:
    known = {codes(name)[0] for name, *_ in rows(read("docs/reference/metrics.md"))}
    roles = {"airq_owner", "airq_loader", "airq_reader"}
    for path in DOCUMENTS:
        named = set(re.findall(r"\bairq_[a-z_]+\b", path.read_text())) - roles
        assert {re.sub(r"_(bucket|sum|count)$", "", name) for name in named} <= known, path


class _Lines(list[str]):
    """What a log observer writes to."""

    def write(self, text: str) -> int:
        self.append(text)
        return len(text)

    def flush(self) -> None:
        pass

    def isatty(self) -> bool:
        return False


def _kinds_of_events() -> list[type[events.Event]]:
    return [
        kind
        for kind in vars(events).values()
        if isinstance(kind, type) and issubclass(kind, events.Event) and kind is not events.Event
    ]


def test_the_reference_has_every_event_with_its_fields_and_no_other() -> None:
    lines = _Lines()
    observe = log_observer(lines, "json", "all")  # type: ignore[arg-type]
    for kind in _kinds_of_events():
        made = kind(*(_value(field.type) for field in fields(kind)))
        observe(made)
    written = [json.loads(line) for text in lines for line in text.splitlines() if line]
    actual = {line["event"]: list(line)[3:] for line in written}
    assert len(actual) == len(_kinds_of_events())
    documented = {
        codes(heading)[0]: [codes(name)[0] for name, *_ in rows(text)]
        for heading, text in sections(read("docs/reference/events.md")).items()
        if heading.startswith("`")
    }
    assert documented == actual


def _value(annotation: object) -> object:
    """Return some value of a field's type."""
    return {"str": "x", "int": 1, "float": 1.0}[getattr(annotation, "__name__", "str")]


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_every_link_of_a_document_leads_somewhere(path: Path) -> None:
    for target in re.findall(r"\]\(([^)]+)\)", path.read_text()):
        parts = urlsplit(target)
        assert not parts.scheme, target
        there = (path.parent / parts.path).resolve() if parts.path else path
        assert there.exists(), target
        if parts.fragment:
            headings = {
                re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-")
                for heading in sections(there.read_text())
            }
            assert parts.fragment in headings, target


def test_the_readme_names_every_part_of_the_package_and_nothing_that_is_not_there() -> None:
    tree = re.search(r"```text\n(.*?)```", read("README.md"), re.DOTALL)
    assert tree
    named = set()
    for line in tree[1].splitlines():
        below = "src/airq/" if line.startswith("  ") else ""
        names = re.match(r" *((?:[\w.]+/?(?:, )?)+(?:/\w+/)?)", line)
        assert names, line
        named |= {below + name for name in names[1].split(", ")}
    assert all((REPOSITORY / name).exists() for name in named), named
    package = REPOSITORY / "src" / "airq"
    parts = {
        f"src/airq/{path.name}{'/' if path.is_dir() else ''}"
        for path in package.iterdir()
        if not path.name.startswith("__") and path.name != "py.typed"
    }
    assert parts <= named, parts - named


def test_every_document_is_in_the_index() -> None:
    docs = REPOSITORY / "docs"
    linked = set(re.findall(r"\]\(([^)]+)\)", read("docs/README.md")))
    assert linked == {str(path.relative_to(docs)) for path in docs.rglob("*.md")} - {"README.md"}
