"""The one database: its first start is done as a whole or anew, and a broken update can be taken back."""

import time
from copy import deepcopy

import pytest

from tests.containers.engine import Engine
from tests.deployment.mutations import MAIN, put
from tests.deployment.rendering import Manifests
from tests.deployment.running.cluster import Cluster
from tests.deployment.running.conftest import VERSION
from tests.deployment.running.objects import only_pods
from tests.deployment.running.pods import Pod

PLACE = "/var/lib/postgresql/18"
DATABASE = ("StatefulSet", "database")
UP_SECONDS = 60.0
ROLES = "SELECT string_agg(rolname, ' ' ORDER BY rolname) FROM pg_roles WHERE rolname LIKE 'airq%'"


def ask(pod: Pod, statement: str) -> str:
    """Ask the database's pod."""
    return pod.execute("psql", "-U", "postgres", "-d", "airq", "-Atc", statement).strip()


def entries(pod: Pod) -> set[str]:
    """Return what lies beside the data."""
    return set(pod.execute("ls", PLACE).split())


def is_restarted_and_ready(pod: Pod, restarts: int) -> bool:
    """Tell whether a pod is ready again after as many restarts."""
    return pod.restarts == restarts and pod.is_ready


@pytest.mark.parametrize("reached", ["PG_VERSION", "postmaster.pid"])
def test_a_first_start_that_is_broken_off_begins_anew(
    empty_cluster: Cluster, production: Manifests, reached: str
) -> None:
    """Killed while initdb works, or when the server runs that makes the roles."""
    manifests = only_pods(deepcopy(production), "database")
    # Every session begins 2 s late, so that there is a moment between the server's start and the roles.
    manifests.pod("database").main["env"].append({"name": "PGOPTIONS", "value": "-c post_auth_delay=2"})
    empty_cluster.apply(manifests)
    empty_cluster.wait(lambda: bool(empty_cluster.history), UP_SECONDS, "there is a pod")
    [pod] = empty_cluster.history
    empty_cluster.wait(lambda: pod.phase == "Running", UP_SECONDS, "it is started")
    pod.execute("sh", "-c", f"until [ -e {PLACE}/docker.making/{reached} ]; do sleep 0.02; done")
    pod.kill_container()
    empty_cluster.wait(lambda: is_restarted_and_ready(pod, 1), UP_SECONDS, "it is ready")
    assert "broken off" in pod.said()
    assert ask(pod, ROLES) == "airq_owner"
    assert entries(pod) == {"docker"}
    assert empty_cluster.faults == []


def test_a_database_that_is_whole_stays_whatever_lies_beside_it(
    empty_cluster: Cluster, production: Manifests
) -> None:
    empty_cluster.apply(only_pods(deepcopy(production), "database"))
    empty_cluster.wait(empty_cluster.is_up, UP_SECONDS, "the database is up")
    pod = empty_cluster.pod("database")
    ask(pod, "CREATE TABLE kept ()")
    pod.execute("mkdir", f"{PLACE}/docker.making")
    pod.kill_container()
    empty_cluster.wait(lambda: is_restarted_and_ready(pod, 1), UP_SECONDS, "it is ready again")
    assert ask(pod, "SELECT count(*) FROM kept") == "0"
    assert entries(pod) == {"docker", "docker.making"}


STARTED_IN = """\
mkdir /tmp/bin
printf '#!/bin/sh\\necho started in "$PGDATA"\\n' >/tmp/bin/docker-entrypoint.sh
chmod +x /tmp/bin/docker-entrypoint.sh
cd /var/lib/postgresql
for path in "$@"; do mkdir -p "$(dirname "$path")"; echo 17 >"$path"; done
PATH=/tmp/bin:$PATH airq-database postgres
"""
"""Tells where the base image's entrypoint, which a stub stands in for, is to make or find the database."""


@pytest.mark.parametrize(
    ("there", "making"),
    [
        ("lost+found/none", True),
        ("18/docker.making/PG_VERSION", True),
        ("18/docker/PG_VERSION", False),
        ("17/docker/PG_VERSION", False),
        ("data/PG_VERSION", False),
        ("data/none", False),
        ("PG_VERSION", False),
    ],
)
def test_only_where_no_database_is_a_new_one_is_made(
    engine: Engine, tagged_images: None, there: str, making: bool
) -> None:
    done = engine.run(
        "docker", "run", "--rm", "--env", "POSTGRES_PASSWORD=x", "--env", "AIRQ_OWNER_PASSWORD=y",
        "--entrypoint", "sh", f"airq-database:{VERSION}", "-c", STARTED_IN, "sh", there,
    )  # fmt: skip
    assert done.out == f"started in {PLACE}/docker{'.making' if making else ''}\n"
    # What was not made is not started.
    assert done.status == (1 if making else 0)


def test_a_first_start_that_fails_leaves_no_database(empty_cluster: Cluster, production: Manifests) -> None:
    manifests = only_pods(deepcopy(production), "database")
    put("ConfigMap", "database-settings", "data/production.conf", "shared_buffers = much\n")(manifests)
    empty_cluster.apply(manifests)
    empty_cluster.wait(lambda: bool(empty_cluster.history), UP_SECONDS, "there is a pod")
    [pod] = empty_cluster.history
    empty_cluster.wait(lambda: len(pod.ends) == 2, UP_SECONDS, "it has failed twice")
    assert all(end.status != 0 for end in pod.ends)
    assert "broken off" in pod.ends[1].log
    volume = pod.engine.docker(
        "run", "--rm", "--volumes-from", f"{empty_cluster.name}-database-0", "--entrypoint", "ls",
        pod.template.main["image"], "/volumes/data/18",
    )  # fmt: skip
    assert volume.split() == ["docker.making"]


@pytest.mark.parametrize(("policy", "comes_back"), [("Parallel", True), ("OrderedReady", False)])
def test_settings_that_keep_the_database_down_can_be_taken_back(
    empty_cluster: Cluster, production: Manifests, policy: str, comes_back: bool
) -> None:
    good = only_pods(deepcopy(production), "database")
    assert good.get(*DATABASE)["spec"]["podManagementPolicy"] == "Parallel"
    put(*DATABASE, "spec/podManagementPolicy", policy)(good)
    broken = deepcopy(good)
    put(*DATABASE, f"{MAIN}/args", ["postgres", "-c", "config_file=/etc/postgresql/none.conf"])(broken)
    empty_cluster.apply(good)
    empty_cluster.wait(empty_cluster.is_up, UP_SECONDS, "the database is up")
    ask(empty_cluster.pod("database"), "CREATE TABLE kept ()")

    empty_cluster.apply(broken)
    history = empty_cluster.history
    empty_cluster.wait(lambda: len(history) == 2 and bool(history[1].ends), UP_SECONDS, "the next one ends")
    assert not empty_cluster.is_up()

    empty_cluster.apply(good)
    if comes_back:
        empty_cluster.wait(empty_cluster.is_up, UP_SECONDS, "the database is up again")
        assert ask(empty_cluster.pod("database"), "SELECT count(*) FROM kept") == "0"
    else:
        time.sleep(5)
        assert not empty_cluster.is_up()
        assert empty_cluster.pod("database").template.main["args"] == broken.pod("database").main["args"]
