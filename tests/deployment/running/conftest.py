"""What the tests that run manifests share: an engine, the images under the names that overlays give them,
a CSV that is fetched by its URL, and production, brought up from nothing.

Nothing here is skipped: who asks for these tests wants them to run.
"""

import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.conftest import REAL_CSV
from tests.containers import csv_files
from tests.containers.conftest import NEXT_TAG, TAG, clone, engine, images
from tests.containers.engine import Engine
from tests.deployment.conftest import Rendered
from tests.deployment.rendering import SHOWN, Manifests
from tests.deployment.running.cluster import Cluster
from tests.deployment.running.readers import answers, never_asked
from tests.deployment.running.services import PROPAGATION_SECONDS

__all__ = ["clone", "engine", "images"]

VERSION, NEXT_VERSION, LATER_VERSION = "0.1.0", "0.2.0", "0.3.0"
"""Tags of the images: the one that overlays name, the next one, and one with a schema of its own."""

UP_SECONDS = 150.0
BREAKING = "faults, each of which keeps a pod from starting or from being ready"
"""Title under which they are printed."""

Show = Callable[[str], None]
MakeCluster = Callable[[str], Cluster]


@pytest.fixture(scope="session")
def tagged_images(engine: Engine, images: Path) -> None:
    """The images under the names that overlays give them."""
    for tag, version in ((TAG, VERSION), (NEXT_TAG, NEXT_VERSION)):
        for name in ("api", "cache", "database"):
            engine.docker("tag", f"airq-{name}:{tag}", f"airq-{name}:{version}")


@pytest.fixture(scope="session")
def csv(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The real file's rows where it is here, and months of our own."""
    path = tmp_path_factory.mktemp("csv") / "measurements.csv"
    for parent in (path.parent, *path.parents[1:4]):
        if parent.is_relative_to(tmp_path_factory.getbasetemp()):
            parent.chmod(0o755)
    first_rows = REAL_CSV.read_text().partition("\n")[2] if REAL_CSV.exists() else ""
    csv_files.write(path, first_rows)
    return path


@contextmanager
def cluster_of(engine: Engine) -> Iterator[Cluster]:
    """Give an empty cluster, and remove it with all that it has."""
    made = Cluster(engine, f"airq-k8s-{secrets.token_hex(3)}", f"airq-api:{VERSION}", public=["cache"])
    try:
        yield made
    finally:
        made.close()


@pytest.fixture
def empty_cluster(engine: Engine, tagged_images: None) -> Iterator[Cluster]:
    """A cluster of this test's own."""
    with cluster_of(engine) as made:
        yield made


@pytest.fixture(scope="session")
def production(rendered: Rendered) -> Manifests:
    """The overlay as it is, but for what is loaded."""
    return loading_from_files(rendered("overlays/production"))


def loading_from_files(manifests: Manifests) -> Manifests:
    """Let loads fetch the CSV, and purge again soon: the engine's DNS keeps no address that is gone."""
    settings = manifests.get("ConfigMap", "load-settings")["data"]
    settings |= {"AIRQ_CSV": "http://files/measurements.csv", "AIRQ_PURGE_AGAIN_SECONDS": "2"}
    return manifests


def serve_file(cluster: Cluster, path: Path) -> str:
    """Serve a file at http://files/; return the id of the container that does."""
    return cluster.engine.docker(
        "run", "--detach", "--no-healthcheck", "--user", "0",
        "--network", cluster.name, "--network-alias", "files",
        "--volume", f"{path.parent}:/files:ro", "--entrypoint", "python3", f"airq-api:{VERSION}",
        "-m", "http.server", "--directory", "/files", "80",
    ).strip()  # fmt: skip


@dataclass(frozen=True)
class FirstUp:
    """Production as it was when it had come up from nothing."""

    cluster: Cluster
    seconds: float
    restarted: list[str]
    faults: list[str]


@pytest.fixture(scope="session")
def first_up(engine: Engine, tagged_images: None, production: Manifests, csv: Path) -> Iterator[FirstUp]:
    """Production, applied to an empty cluster."""
    with cluster_of(engine) as cluster:
        files = serve_file(cluster, csv)
        try:
            cluster.apply(production)
            seconds = cluster.wait(cluster.is_up, UP_SECONDS, "production is up")
            restarted = [pod.name for pod in cluster.history if pod.restarts]
            yield FirstUp(cluster, seconds, restarted, list(cluster.faults))
        finally:
            engine.docker("rm", "--force", files)


@pytest.fixture
def cluster(first_up: FirstUp, production: Manifests) -> Iterator[Cluster]:
    """Production, up, whatever the test before did to it; no pod may do what a cluster would not let pass."""
    cluster = first_up.cluster
    cluster.set_propagation(PROPAGATION_SECONDS)
    cluster.apply(production)
    cluster.wait(cluster.is_up, UP_SECONDS, "production is up")
    cluster.faults.clear()
    port = cluster.port("cache", 80)
    cluster.wait(lambda: answers(port, never_asked()), 30, "an answer")
    yield cluster
    assert cluster.faults == []


@pytest.fixture
def show(request: pytest.FixtureRequest) -> Show:
    """Keeps a line with figures that is printed when the tests have ended."""
    shown = request.config.stash.setdefault(SHOWN, {}).setdefault("production under Docker", [])
    return lambda line: shown.append(f"{request.node.name}: {line}")
