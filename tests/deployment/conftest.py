"""What the tests of the manifests share: kustomize, and every overlay as it renders.

Nothing here is skipped: who asks for these tests wants them to run.
"""

from collections.abc import Callable
from copy import deepcopy
from functools import cache
from pathlib import Path

import pytest

from tests.deployment.rendering import SHOWN, Manifests, copy_with_secrets, render
from tests.deployment.tools import Kustomize, NoTool, find_kustomize

Rendered = Callable[[str], Manifests]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print production's objects and edges, and the mutations with what noticed each."""
    for title, lines in config.stash.get(SHOWN, {}).items():
        terminalreporter.section(f"{title} ({len(lines)})")
        for line in lines:
            terminalreporter.write_line(line)


@pytest.fixture(scope="session")
def kustomize() -> Kustomize:
    """A kustomize as in kubectl 1.32 or newer."""
    try:
        return find_kustomize()
    except NoTool as error:
        pytest.exit(f"the deployment tests can't run: {error}", returncode=1)


@pytest.fixture(scope="session")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of deploy/kubernetes with secrets."""
    return copy_with_secrets(tmp_path_factory.mktemp("deployment") / "deploy")


@pytest.fixture(scope="session")
def rendered(kustomize: Kustomize, tree: Path) -> Rendered:
    """Renders an overlay, named by its directory; each caller gets a copy of its own."""

    @cache
    def build(overlay: str) -> Manifests:
        return render(kustomize, tree / overlay)

    return lambda overlay: deepcopy(build(overlay))
