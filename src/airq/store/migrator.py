"""Brings a database's schema and roles to what this version of airq needs."""

import asyncio
import base64
import hashlib
import hmac
import os
import stringprep
import unicodedata
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

import asyncpg
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from airq.domain.errors import AirqError
from airq.store.connections import CONNECT_TIMEOUT_SECONDS, connected, reason_of, translated_faults
from airq.store.schema import schema_revision

LOCK_TIMEOUT = "5s"
"""A migration waits no longer than this for a lock, because every later query waits behind it."""

LOCK_TRIES = 12
RETRY_SECONDS = 1.0
NEEDED_SERVER = 18
"""The oldest PostgreSQL whose RETURNING tells what a merge replaced."""

MIGRATION_LOCK = 0x61697271
"""Key of the advisory lock that lets one migration run at a time ("airq" in ASCII)."""


class MigrationFailed(AirqError):
    """The schema could not be brought to the version that is needed; nothing was changed."""


@dataclass(frozen=True)
class Role:
    """A role that airq uses besides the schema's owner: its name and, where known, its password."""

    name: str
    password: str | None

    @classmethod
    def of(cls, url: str) -> "Role | None":
        """Return the role with which a URL logs in, or None if it names none."""
        parts = urlsplit(url)
        options = parse_qs(parts.query)
        name = unquote(parts.username or "") or options.get("user", [""])[0]
        password = unquote(parts.password or "") or options.get("password", [""])[0]
        return cls(name, password or None) if name else None


@dataclass(frozen=True)
class Migration:
    """What a run of `migrate` did: the revision before (None: no schema) and now, and notices."""

    before: str | None
    now: str
    notices: list[str]


async def migrate(
    url: str,
    loader: Role | None,
    reader: Role | None,
    on_wait: Callable[[str], None] = lambda message: None,
) -> Migration:
    """Bring the schema to the newest revision, then make or update the roles and their privileges.

    Args:
        url: the database as the schema's owner reaches it; needs no superuser, but CREATEROLE to make
            roles that do not exist.
        loader, reader: roles for loading and for the API; None or the owner itself: it does the work.

    Raises:
        MigrationFailed: locks were not to be had in time, or a revision failed.
        DatabaseUnavailable: the database can't be reached.
    """
    async with connected(url, "airq migrate") as connection:
        await _check_server(connection)
        if not await connection.fetchval("SELECT pg_try_advisory_lock($1)", MIGRATION_LOCK):
            on_wait("another migration is running; waiting for it")
            await connection.execute("SELECT pg_advisory_lock($1)", MIGRATION_LOCK)
        await connection.execute(f"SET lock_timeout = '{LOCK_TIMEOUT}'")
        for attempt in range(1, LOCK_TRIES + 1):
            try:
                return await _migrate(url, connection, loader, reader)
            except asyncpg.LockNotAvailableError:
                if attempt < LOCK_TRIES:
                    on_wait(f"a table is locked by another session; trying again ({attempt})")
                    await asyncio.sleep(min(attempt * RETRY_SECONDS, 5))
            except asyncpg.InsufficientPrivilegeError as error:
                owner = await connection.fetchval("SELECT current_user")
                raise MigrationFailed(
                    f"{owner} may not do what the migration needs: {reason_of(error)}; "
                    "AIRQ_DATABASE_URL must name the owner of the database, or of the schema airq in it"
                ) from error
        raise MigrationFailed(
            f"other sessions held the tables' locks for {LOCK_TRIES} tries of {LOCK_TIMEOUT}; "
            "see pg_stat_activity and run it again"
        )


async def _check_server(connection: asyncpg.Connection) -> None:
    if int(await connection.fetchval("SHOW server_version_num")) < NEEDED_SERVER * 10_000:
        version = await connection.fetchval("SHOW server_version")
        raise MigrationFailed(
            f"the server is PostgreSQL {version}; airq needs {NEEDED_SERVER} or newer; nothing was changed"
        )


async def _migrate(
    url: str, connection: asyncpg.Connection, loader: Role | None, reader: Role | None
) -> Migration:
    if await connection.fetchval("SELECT to_regnamespace('airq')") is None:
        await connection.execute("CREATE SCHEMA airq")
    before = await schema_revision(connection)
    await _upgrade(url)
    notices = await _apply_roles(connection, loader, reader)
    now = await schema_revision(connection)
    assert now is not None
    return Migration(before, now, notices)


async def _upgrade(url: str) -> None:
    async def connect() -> asyncpg.Connection:
        return await asyncpg.connect(
            url,
            timeout=CONNECT_TIMEOUT_SECONDS,
            server_settings={"lock_timeout": LOCK_TIMEOUT, "application_name": "airq migrate"},
        )

    engine = create_async_engine("postgresql+asyncpg://", async_creator=connect, poolclass=NullPool)
    try:
        async with translated_faults(), engine.begin() as connection:
            await connection.run_sync(_run_alembic)
    except Exception as error:
        # SQLAlchemy wraps the driver's fault twice; the driver's own is what tells.
        cause: BaseException | None = error
        while cause is not None and not isinstance(cause, asyncpg.PostgresError):
            cause = cause.__cause__ or getattr(cause, "orig", None)
        if isinstance(cause, asyncpg.LockNotAvailableError | asyncpg.InsufficientPrivilegeError):
            raise cause from None
        if cause is not None:
            raise MigrationFailed(f"the migration failed, nothing was changed: {cause}") from error
        raise
    finally:
        await engine.dispose()


def _run_alembic(connection: Connection) -> None:
    config = _alembic_config()
    config.attributes["connection"] = connection
    known = MigrationContext.configure(connection, opts={"version_table_schema": "airq"})
    current = known.get_current_revision()
    script = ScriptDirectory.from_config(config)
    if current is not None and current > (script.get_current_head() or ""):
        # A newer airq was here. Its schema serves this version as well (expand, then contract).
        return
    with warnings.catch_warnings():
        # Alembic's own notices about path separators are none of the operator's business.
        warnings.simplefilter("ignore")
        command.upgrade(config, "head")


def _alembic_config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.set_main_option("path_separator", "os")
    return config


_READER_TABLES = ("station", "measurement", "coverage", "load", "load_month", "alembic_version")
_PRIVILEGES = {
    "reader": [f"GRANT SELECT ON airq.{table} TO {{role}}" for table in _READER_TABLES],
    "loader": [
        "GRANT SELECT, INSERT ON airq.station TO {role}",
        "GRANT SELECT, INSERT, UPDATE, DELETE ON airq.measurement TO {role}",
        "GRANT SELECT, INSERT, UPDATE ON airq.load, airq.coverage TO {role}",
        "GRANT SELECT, INSERT, DELETE ON airq.rejected_row, airq.replaced_measurement TO {role}",
        "GRANT SELECT, INSERT ON airq.load_month TO {role}",
        "GRANT SELECT ON airq.alembic_version TO {role}",
        "GRANT EXECUTE ON FUNCTION airq.add_partition(date) TO {role}",
        "GRANT EXECUTE ON FUNCTION airq.index_partition(date) TO {role}",
    ],
}


async def _apply_roles(connection: asyncpg.Connection, loader: Role | None, reader: Role | None) -> list[str]:
    """Make or update each role, its password and its privileges, in one transaction."""
    notices = []
    owner = await connection.fetchval("SELECT current_user")
    database = await connection.fetchval("SELECT quote_ident(current_database())")
    async with connection.transaction():
        await connection.execute(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'")
        for purpose, role in (("loader", loader), ("reader", reader)):
            if role is None or role.name == owner:
                continue
            name = await connection.fetchval("SELECT quote_ident($1)", role.name)
            exists = await connection.fetchval(
                "SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = $1)", role.name
            )
            if not exists:
                try:
                    await connection.execute(f"CREATE ROLE {name} LOGIN")
                except asyncpg.InsufficientPrivilegeError:
                    raise MigrationFailed(
                        f"role {role.name} does not exist and {owner} may not make roles; "
                        f"make it by hand (CREATE ROLE {name} LOGIN PASSWORD '…') or give {owner} CREATEROLE"
                    ) from None
                notices.append(f"made role {role.name}")
            if role.password is not None:
                verifier = scram_verifier(role.password, os.urandom(16))
                try:
                    async with connection.transaction():
                        await connection.execute(f"ALTER ROLE {name} PASSWORD '{verifier}'")
                except asyncpg.InsufficientPrivilegeError:
                    notices.append(f"{owner} may not set the password of {role.name}; left as it is")
            await connection.execute(f"GRANT CONNECT, TEMPORARY ON DATABASE {database} TO {name}")
            await connection.execute(f"GRANT USAGE ON SCHEMA airq TO {name}")
            for statement in _PRIVILEGES[purpose]:
                await connection.execute(statement.format(role=name))
            await _grant_partitions(connection, name, purpose)
    return notices


async def _grant_partitions(connection: asyncpg.Connection, name: str, purpose: str) -> None:
    """Give a role on the partitions that exist what it has on their table."""
    privileges = "SELECT" if purpose == "reader" else "SELECT, INSERT, UPDATE, DELETE"
    partitions = await connection.fetch(
        "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'airq.measurement'::regclass"
    )
    for [partition] in partitions:
        await connection.execute(f"GRANT {privileges} ON {partition} TO {name}")


def scram_verifier(password: str, salt: bytes, iterations: int = 4096) -> str:
    """Return what PostgreSQL stores for a password, so that the password itself never travels.

    Source: RFC 5803 and PostgreSQL's SCRAM-SHA-256 authentication.
    """
    salted = hashlib.pbkdf2_hmac("sha256", _prepared(password).encode(), salt, iterations)
    client_key = hmac.digest(salted, b"Client Key", "sha256")
    server_key = hmac.digest(salted, b"Server Key", "sha256")
    stored_key = hashlib.sha256(client_key).digest()
    encoded = [base64.b64encode(part).decode() for part in (salt, stored_key, server_key)]
    return f"SCRAM-SHA-256${iterations}:{encoded[0]}${encoded[1]}:{encoded[2]}"


def _prepared(password: str) -> str:
    """Return the characters that every spelling of a password has in common.

    Source: RFC 4013 (SASLprep), sections 2.1 and 2.2. Passwords with characters that it prohibits are
    left as they are, as PostgreSQL does.
    """
    kept = (c for c in password if not stringprep.in_table_b1(c))
    mapped = "".join(" " if stringprep.in_table_c12(c) else c for c in kept)
    prepared = unicodedata.normalize("NFKC", mapped)
    return password if any(prohibits(c) for c in prepared for prohibits in _PROHIBITED) else prepared


_PROHIBITED = (
    stringprep.in_table_c12, stringprep.in_table_c21_c22, stringprep.in_table_c3,
    stringprep.in_table_c4, stringprep.in_table_c5, stringprep.in_table_c6, stringprep.in_table_c7,
    stringprep.in_table_c8, stringprep.in_table_c9, stringprep.in_table_a1,
)  # fmt: skip
"""RFC 4013, sections 2.3 and 2.5."""
