"""Databases on the embedded PostgreSQL: made fresh for each run, filled, and thrown away."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from airq.embedded import Server
from benchmarks.processes import AIRQ, Usage, run


@dataclass(frozen=True)
class Databases:
    """Databases of one server; each is known by its name.

    Args:
        server: the running PostgreSQL.
        directory: where the output of commands is kept.
    """

    server: Server
    directory: Path

    def url(self, name: str, role: str = "postgres") -> str:
        """Return a database's URL for a role; whoever reaches the server's socket needs no password."""
        return urlsplit(self.server.url)._replace(netloc=f"{role}@", path=f"/{name}").geturl()

    def settings(self, name: str) -> Mapping[str, str]:
        """Return the settings with which airq works on a database, each command by its own role."""
        return {
            "AIRQ_DATABASE_URL": self.url(name),
            "AIRQ_LOADER_URL": self.url(name, "airq_loader"),
            "AIRQ_READER_URL": self.url(name, "airq_reader"),
        }

    def psql(self, name: str, *commands: str) -> Usage:
        """Run SQL or psql's own commands, each in a transaction of its own."""
        program, url = self.server.binaries / "psql", self.url(name)
        arguments = [part for command in commands for part in ("-c", command)]
        return run([program, "-qAtX", "-v", "ON_ERROR_STOP=1", "-d", url, *arguments], self._log)

    def ask(self, name: str, statement: str) -> str:
        """Return what a statement yields, as text."""
        self.psql(name, statement)
        return self._log.read_text().strip()

    def make(self, name: str, template: str = "template0") -> None:
        """Make a database anew, as a copy of another one."""
        self.drop(name)
        self.psql("postgres", f"CREATE DATABASE {name} TEMPLATE {template}")

    def drop(self, name: str) -> None:
        """Drop a database if it exists."""
        self.psql("postgres", f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")

    def migrate(self, name: str) -> None:
        """Make a database anew with airq's schema and roles."""
        self.make(name)
        run([*AIRQ, "migrate"], self._log, self.settings(name))

    def load(self, name: str, csv_file: Path) -> Usage:
        """Load a file with `airq load`."""
        return run([*AIRQ, "load", csv_file], self._log, self.settings(name))

    def settle(self, name: str) -> None:
        """Do what autovacuum would do within minutes, so that it does not do it during a measurement."""
        self.psql(name, "VACUUM (ANALYZE)")
        self.checkpoint()

    def checkpoint(self) -> None:
        """Write out what earlier work left, so that the next one does not pay for it."""
        self.psql("postgres", "CHECKPOINT")

    @property
    def _log(self) -> Path:
        return self.directory / "command.log"
