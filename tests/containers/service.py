"""The whole service under Compose, as its publisher and its readers reach it."""

import http.client
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.containers import csv_files
from tests.containers.engine import Engine, Finished

UP_SECONDS = 180.0


@dataclass(frozen=True)
class Answer:
    """An HTTP answer."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def cache(self) -> str:
        """What the cache says of it: hit, miss, stale, pass."""
        return self.headers.get("x-cache", "")

    def json(self) -> Any:
        """Return the decoded body."""
        return json.loads(self.body)


@dataclass
class Service:
    """A project of Compose in a directory of its own.

    Args:
        directory: a copy of the repository.
        name: the project's.
        port: where the cache is published.
        csv: the file that AIRQ_CSV names.
    """

    engine: Engine
    directory: Path
    name: str
    port: int
    csv: Path
    settings: dict[str, str] = field(default_factory=dict)

    def compose(
        self, *arguments: str, check: bool = True, stdin: str = "", timeout_seconds: float = UP_SECONDS
    ) -> Finished:
        """Run `docker compose` in the project.

        Raises:
            AssertionError: it failed, unless `check` is off.
        """
        environment = {
            "COMPOSE_PROJECT_NAME": self.name,
            "AIRQ_CSV": str(self.csv),
            "AIRQ_PUBLISH": f"127.0.0.1:{self.port}",
            **self.settings,
        }
        done = self.engine.run(
            "docker", "compose", "--ansi=never", *arguments,
            cwd=self.directory, environment=environment, stdin=stdin, timeout_seconds=timeout_seconds,
        )  # fmt: skip
        if check and done.status:
            logs = "" if arguments[0] == "logs" else self.compose("logs", "--tail=30", check=False).out
            raise AssertionError(f"compose {arguments} ended with {done.status}:\n{done.err[-2000:]}\n{logs}")
        return done

    def up(self, *arguments: str, check: bool = True) -> Finished:
        """Bring it up and wait until everything is healthy."""
        return self.compose("up", "--detach", "--wait", *arguments, check=check)

    def down(self, *arguments: str) -> None:
        """Take it down; its data stays unless `--volumes` is said."""
        self.compose("down", *arguments)

    def run(self, service: str, *command: str) -> str:
        """Run a command in a container of a service that is up; return what it printed."""
        return self.compose("exec", "-T", service, *command).out

    def airq(self, *command: str) -> str:
        """Run an airq command with the loader's rights in a container of its own."""
        return self.compose("run", "--rm", "--no-deps", "-T", "load", "airq", *command).out

    def container(self, service: str) -> str:
        """Return the id of a service's container, running or not."""
        return self.compose("ps", "--all", "--quiet", service).out.strip()

    def inspect(self, service: str) -> dict[str, Any]:
        """Return what the engine knows of a service's container."""
        [found] = json.loads(self.engine.docker("inspect", self.container(service)))
        assert isinstance(found, dict)
        return found

    def health(self, service: str) -> str:
        """Return what a container's health check says: healthy, unhealthy, starting; "" where none runs."""
        if not self.container(service):
            return ""
        state = self.inspect(service)["State"]
        return str(state.get("Health", {}).get("Status", "")) if state["Running"] else ""

    def get(
        self, target: str, headers: Mapping[str, str] | None = None, timeout_seconds: float = 30
    ) -> Answer:
        """Ask the published port."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout_seconds)
        try:
            connection.request("GET", target, headers=dict(headers or {}))
            response = connection.getresponse()
            body = response.read()
            answered = {name.lower(): value for name, value in response.getheaders()}
            return Answer(response.status, answered, body)
        finally:
            connection.close()

    def measurements(self, query: str = "limit=10000") -> dict[csv_files.Key, dict[str, float | None]]:
        """Return what the service serves, in the form of `csv_files.read`."""
        answer = self.get(f"/air_quality?{query}")
        assert answer.status == 200, answer
        return {
            (row["timestamp"], row["station"]): {name: row[name] for name in csv_files.POLLUTANTS}
            for row in answer.json()["data"]
        }

    def loads(self) -> list[dict[str, Any]]:
        """Return the ledger, the newest load first."""
        found = json.loads(self.airq("loads", "--json"))
        assert isinstance(found, list)
        return found


def eventually(holds: Callable[[], bool], seconds: float, what: str) -> float:
    """Wait until something holds; return the seconds that it took.

    Raises:
        AssertionError: it does not hold in time.
    """
    began = time.monotonic()
    while not holds():
        assert time.monotonic() - began < seconds, f"not within {seconds:g} s: {what}"
        time.sleep(0.1)
    return time.monotonic() - began
