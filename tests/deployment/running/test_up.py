"""Applied to an empty cluster, production comes up by itself and serves what the CSV holds."""

from pathlib import Path

from tests.containers import csv_files
from tests.deployment.conftest import Rendered
from tests.deployment.rendering import KUBERNETES
from tests.deployment.running.cluster import Cluster
from tests.deployment.running.conftest import UP_SECONDS, FirstUp, Show, loading_from_files, serve_file
from tests.deployment.running.readers import answers, measurements

SAMPLE = KUBERNETES / "components" / "sample-data" / "sample.csv"


def test_everything_applied_at_once_comes_up(first_up: FirstUp, cluster: Cluster, show: Show) -> None:
    assert (first_up.restarted, first_up.faults) == ([], [])
    assert {name: len(cluster.pods(name)) for name in ("api", "database", "cache")} == {
        "api": 5,
        "database": 1,
        "cache": 1,
    }
    assert {cluster.job(name).outcome for name in ("migrate", "load")} == {"Complete"}
    show(f"5 API, 1 database, 1 cache ready and both Jobs complete within {first_up.seconds:.1f} s")


def test_the_service_serves_what_the_csv_holds(cluster: Cluster, csv: Path) -> None:
    port = cluster.port("cache", 80)
    expected = csv_files.read(csv)
    assert measurements(port) == expected
    assert measurements(port) == expected


def test_nothing_has_rights_beyond_its_own_files(cluster: Cluster) -> None:
    for name, user in (("api", "10001"), ("cache", "10002"), ("database", "999")):
        pod = cluster.pods(name)[0]
        status = dict(
            line.split(":", 1) for line in pod.execute("cat", "/proc/1/status").splitlines() if ":" in line
        )
        assert status["Uid"].split() == [user] * 4
        assert int(status["CapEff"], 16) == int(status["CapBnd"], 16) == 0
        assert status["NoNewPrivs"].strip() == "1"
        assert status["Seccomp"].strip() == "2"


def test_a_scheduled_load_loads_and_ends(empty_cluster: Cluster, rendered: Rendered, csv: Path) -> None:
    """Run as `kubectl create job --from=cronjob/load` does it, in the place of the release's load."""
    cluster, manifests = empty_cluster, loading_from_files(rendered("combinations/scheduled-load"))
    manifests.get("Deployment", "api")["spec"]["replicas"] = 1
    manifests.remove(manifests.get("Job", "load-0-1-0"))
    [scheduled] = manifests.of("CronJob")
    manifests.remove(scheduled)
    named = {"name": "load-now", "namespace": scheduled["metadata"]["namespace"]}
    job = {"apiVersion": "batch/v1", "kind": "Job", "metadata": named}
    manifests.append(scheduled["spec"]["jobTemplate"] | job)
    files = serve_file(cluster, csv)
    try:
        cluster.apply(manifests)
        cluster.wait(cluster.is_up, UP_SECONDS, "everything is up, and the load is complete")
    finally:
        cluster.engine.docker("rm", "--force", files)
    port = cluster.port("cache", 80)
    cluster.wait(lambda: answers(port, "/stations"), 15, "an answer")
    assert measurements(port) == csv_files.read(csv)
    assert cluster.faults == []


def test_development_comes_up_with_the_sample_that_is_mounted(
    empty_cluster: Cluster, rendered: Rendered, show: Show
) -> None:
    empty_cluster.apply(rendered("overlays/development"))
    took = empty_cluster.wait(empty_cluster.is_up, UP_SECONDS, "development is up")
    show(f"{len(empty_cluster.pods('api'))} API, 1 database, 1 cache ready within {took:.1f} s")
    port = empty_cluster.port("cache", 80)
    empty_cluster.wait(lambda: answers(port, "/stations"), 15, "an answer")
    assert measurements(port) == csv_files.read(SAMPLE)
    assert empty_cluster.faults == []
