"""The house's own rules: which package may import which."""

import ast
import sys
from pathlib import Path

import pytest

import airq

PACKAGE = Path(airq.__file__).parent
ALLOWED = {
    "domain": set(),
    "ingest": {"domain"},
    "simulation": {"domain"},
    "telemetry": {"domain"},
    "store": {"domain"},
    "api": {"domain", "store", "telemetry"},
    "embedded": {"domain"},
    "config": {"domain"},
    "purging": {"domain"},
    "loads": {"domain", "ingest", "store"},
    "service": {"domain", "store", "telemetry", "api", "config"},
}
"""Part of the package → the parts that it may import, besides itself. `cli` may import all."""

DRIVERS = {"asyncpg", "sqlalchemy", "alembic"}


def _imports(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "a relative import says less than these rules have to know"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


MODULES = sorted(PACKAGE.rglob("*.py"))


def _part(path: Path) -> str:
    first = path.relative_to(PACKAGE).parts[0]
    return first.removesuffix(".py")


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_point_inward(path: Path) -> None:
    part = _part(path)
    if part in ("cli", "__main__", "__init__"):
        return
    ours = {name.split(".")[1] for name in _imports(path) if name.startswith("airq.")}
    assert ours - {part, "__version__"} <= ALLOWED[part]


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_only_the_store_knows_a_database_driver(path: Path) -> None:
    drivers = {name.split(".")[0] for name in _imports(path)} & DRIVERS
    assert not drivers or _part(path) == "store"


def test_the_domain_is_standard_library_alone() -> None:
    for path in (PACKAGE / "domain").rglob("*.py"):
        outside = {name.split(".")[0] for name in _imports(path)} - set(sys.stdlib_module_names)
        assert outside <= {"airq"}, path


def test_nobody_imports_the_command_line() -> None:
    for path in MODULES:
        if _part(path) not in ("__main__", "cli"):
            assert not any(name.startswith("airq.cli") for name in _imports(path)), path
