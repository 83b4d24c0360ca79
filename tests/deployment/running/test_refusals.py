"""What must not come up does not, says why, and leaves alone what serves."""

import base64
import re
import subprocess
import time
from copy import deepcopy

import pytest

from tests.containers.engine import Engine
from tests.deployment.conftest import Rendered
from tests.deployment.mutations import MAIN, put
from tests.deployment.rendering import Manifests
from tests.deployment.running.cluster import Cluster
from tests.deployment.running.conftest import LATER_VERSION, NEXT_VERSION, Show, loading_from_files
from tests.deployment.running.objects import only_pods
from tests.deployment.running.readers import reading
from tests.deployment.running.workloads import Deployment

LATER = f"""\
FROM airq-api:{NEXT_VERSION}
USER 0
RUN cd /opt/airq/lib/python3*/site-packages/airq/store \\
    && sed -i 's/^NEEDED_SCHEMA = .*/NEEDED_SCHEMA = "9999"/' schema.py \\
    && printf 'revision, down_revision = "9999", "%s"\\n\\ndef upgrade():\\n    pass\\n' \\
        "$(sed -n 's/^revision = "\\(.*\\)"/\\1/p' migrations/versions/*.py | sort | tail -1)" \\
        > migrations/versions/r9999_later.py \\
    && /opt/airq/bin/python -m compileall -q -f --invalidation-mode unchecked-hash .
USER 10001:10001
"""
"""A version that needs a schema of its own, and brings it."""

SECRETS = (
    ("database", "POSTGRES_PASSWORD", "POSTGRES_PASSWORD"),
    ("database", "AIRQ_OWNER_PASSWORD", "AIRQ_OWNER_PASSWORD"),
    ("migrate", "AIRQ_OWNER_PASSWORD", "AIRQ_DATABASE_URL"),
    ("load", "AIRQ_LOADER_PASSWORD", "AIRQ_LOADER_URL"),
    ("api", "AIRQ_READER_PASSWORD", "AIRQ_READER_URL"),
    ("cache", "AIRQ_PURGE_TOKEN", "AIRQ_PURGE_TOKEN"),
    ("database-replica", "POSTGRES_PASSWORD", "POSTGRES_PASSWORD"),
    ("database-replica", "AIRQ_REPLICATION_PASSWORD", "AIRQ_REPLICATION_PASSWORD"),
)
"""Who must refuse to start with which placeholder, and what it names."""


@pytest.fixture(scope="module")
def later_image(engine: Engine, tagged_images: None) -> None:
    """An API image whose schema is above the one that is there."""
    subprocess.run(
        ["docker", "build", "--tag", f"airq-api:{LATER_VERSION}", "-"],
        env=dict(engine.environment), input=LATER.encode(), capture_output=True, check=True,
    )  # fmt: skip


def later(production: Manifests) -> Manifests:
    """Return production with the later version of the API, its Jobs named by their release."""
    changed = deepcopy(production)
    for kind, name in (("Deployment", "api"), ("Job", "migrate-0-1-0"), ("Job", "load-0-1-0")):
        put(kind, name, f"{MAIN}/image", f"airq-api:{LATER_VERSION}")(changed)
    for name in ("migrate", "load"):
        put("Job", f"{name}-0-1-0", "metadata/name", f"{name}-0-3-0")(changed)
    return changed


def test_a_migration_that_fails_leaves_the_old_version_serving(
    cluster: Cluster, production: Manifests, later_image: None, show: Show
) -> None:
    failing = later(production)
    # A wrong password, and no 10 minutes to wait for a right one.
    put("Job", "migrate-0-3-0", f"{MAIN}/env/0/valueFrom/secretKeyRef/key", "AIRQ_PURGE_TOKEN")(failing)
    put("Job", "migrate-0-3-0", f"{MAIN}/args", ["migrate", "--wait", "5s"])(failing)
    old = cluster.pods("api")
    api = cluster.workload("Deployment", "api")
    assert isinstance(api, Deployment)
    with reading(cluster.port("cache", 80)) as readers:
        cluster.apply(failing)
        migrate = cluster.job("migrate-0-3-0")
        cluster.wait(lambda: bool(migrate.pods and migrate.pods[0].phase == "Failed"), 60, "it fails")
        time.sleep(15)
        new = [pod for pod in cluster.pods("api") if pod not in old]
        assert [pod.is_ready for pod in new] == [False]
        assert [pod.phase for pod in new] == ["Running"]
        assert [pod.is_ready and not pod.is_deleted for pod in old] == [True] * 5
        said = migrate.said()
        for name in ("migrate", "load"):
            cluster.remove("Job", f"{name}-0-3-0")
        # Back to the version before, as `kubectl rollout undo` does it.
        cluster.apply(production)
        cluster.wait(api.is_up_to_date, 60, "the old version")
    show(f"{readers.summary()}; the migration said: {said.strip().splitlines()[-1][:150]}")
    assert readers.failed() == []
    assert "password" in said
    assert cluster.pods("api") == old


@pytest.mark.parametrize(("name", "secret", "named"), SECRETS)
def test_a_placeholder_is_refused_at_start(
    empty_cluster: Cluster, rendered: Rendered, name: str, secret: str, named: str
) -> None:
    manifests = loading_from_files(rendered("combinations/read-replica"))
    # What begins so is one as well.
    put("Secret", "secrets", f"data/{secret}", base64.b64encode(b"change-me-now").decode())(manifests)
    empty_cluster.apply(only_pods(manifests, name))
    empty_cluster.wait(lambda: any(pod.ends for pod in empty_cluster.history), 30, f"{name} refuses {secret}")
    pod = empty_cluster.history[0]
    assert pod.ends[0].status in (2, 64)
    assert re.search(f"{named}.*change-me|{named}.*placeholder", pod.said()), pod.said()
