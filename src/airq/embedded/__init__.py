"""A PostgreSQL of our own on this machine, shared by the airq processes that name its directory.

Its processes agree by three lock files. The kernel releases a lock when its holders end, however
they end, so whether a server is alive is never told by a process id, and a `kill -9` leaves nothing to
clean up:

- `start.lock` is held by whoever makes, starts or stops the server;
- `users.lock` is held, shared, by each airq that uses it: who can have it alone is the last one;
- `server.lock` is inherited by every process of the server: while it is held, the server is alive.

As root, PostgreSQL's programs run as `nobody`, which owns `cluster`, `log`, `socket`, and no more.
"""

import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from airq.domain.errors import ConfigurationError
from airq.embedded.account import PACKAGE, ROOTS_ACCOUNT, Account
from airq.embedded.cluster import MAJOR_VERSION, Cluster, EmbeddedServerError
from airq.embedded.directories import default_data_directory, default_root

__all__ = [
    "MAJOR_VERSION",
    "PACKAGE",
    "ROOTS_ACCOUNT",
    "EmbeddedServerError",
    "Server",
    "default_data_directory",
    "default_root",
    "running",
]


@dataclass(frozen=True)
class Server:
    """A running PostgreSQL: its `url` is asyncpg's and libpq's way to the database `airq`, as its
    superuser; `binaries` is the directory of psql, pg_dump and the other programs."""

    url: str
    data_directory: Path
    binaries: Path
    started_here: bool


@contextmanager
def running(
    data_directory: Path,
    *,
    on_progress: Callable[[str], None] = lambda message: None,
    programs_root: Path | None = None,
    keep: bool = False,
) -> Iterator[Server]:
    """Keep a PostgreSQL running while the block runs: made, started or shared as needed.

    The last process to leave stops it. A KeyboardInterrupt while it stops ends it at once, as a
    crash would: nothing is lost, but the next start has to recover.

    Args:
        data_directory: an empty, a new or an earlier used directory.
        on_progress: gets a sentence for each step that takes a while.
        programs_root: where a copy of the programs is kept if the account that runs them for root
            can't reach the installed ones; None is `default_root()`.
        keep: also start it again, as often as it ends by itself; `on_progress`, which is then called
            from another thread too, is told so.

    Raises:
        ConfigurationError: the wheel or the directory can't be used as it is.
        EmbeddedServerError: PostgreSQL failed; the message holds the last lines of its log.
    """
    home = Path(os.path.realpath(data_directory))
    with ExitStack() as stack:
        try:
            account = Account()
            binaries = account.reachable_programs(programs_root, on_progress)
            account.claim(home)
            cluster = Cluster(home, account, binaries, on_progress)
            started_here = cluster.join(stack)
        except (OSError, LookupError, subprocess.SubprocessError) as error:
            raise ConfigurationError(
                f"airq's own PostgreSQL can't be used in {home}: {error}; name another data"
                " directory, or set AIRQ_DATABASE_URL."
            ) from error
        url = f"postgresql://postgres@/airq?host={quote(str(cluster.socket), safe='')}"
        if keep:
            stack.enter_context(cluster.kept())
        yield Server(url, home, binaries, started_here)
