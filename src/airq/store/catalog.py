"""What a process knows by heart of the database that it reads."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import asyncpg

from airq.domain.stations import UnknownStation


@dataclass
class Catalog:
    """The numbers by which one database knows its stations, and how many months it holds.

    Behind a restore from a backup both may be others: each new connection learns them anew.

    Args:
        names: number → name.
        ids: name → number.
        months: partitions with measurements.
    """

    names: dict[int, str] = field(default_factory=dict)
    ids: dict[str, int] = field(default_factory=dict)
    months: int = 0

    async def learn(self, connection: asyncpg.Connection) -> None:
        """Read everything from the database that a connection leads to."""
        rows = await connection.fetch("SELECT id, name FROM airq.station")
        self.months = await connection.fetchval(
            "SELECT count(*) FROM airq.coverage WHERE station_id = 0 AND month > '-infinity'"
        )
        self.names = dict(map(tuple, rows))
        self.ids = {name: number for number, name in self.names.items()}

    async def ids_of(self, connection: asyncpg.Connection, names: Sequence[str]) -> list[int]:
        """Return stations' numbers in the database that a connection leads to.

        Only a connection that is held already can tell them: opening one may show that the database was
        restored from a backup, with other numbers.

        Raises:
            UnknownStation: it has no station of one of these names.
        """
        missing = [name for name in names if name not in self.ids]
        if missing:
            # The missing ones alone, because anybody may ask for names that nobody has. PostgreSQL's
            # texts can't hold a zero character, and it would call that a fault.
            rows = await connection.fetch(
                "SELECT id, name FROM airq.station WHERE name = ANY($1::text[])",
                [name for name in missing if "\0" not in name],
            )
            for number, name in rows:
                self.names[number] = name
                self.ids[name] = number
            for name in names:
                if name not in self.ids:
                    raise UnknownStation(name)
        return [self.ids[name] for name in names]
