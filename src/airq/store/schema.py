"""Which schema a database has, and which one is needed; apart from what brings it there, which is heavy."""

import asyncpg

NEEDED_SCHEMA = "0001"
"""The revision that this version's queries need; any later one serves them too."""


async def schema_revision(connection: asyncpg.Connection) -> str | None:
    """Return the schema's revision, or None where there is none."""
    if await connection.fetchval("SELECT to_regclass('airq.alembic_version')") is None:
        return None
    revision: str | None = await connection.fetchval("SELECT version_num FROM airq.alembic_version")
    return revision
