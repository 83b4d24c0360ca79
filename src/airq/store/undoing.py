"""Takes a load back: its new rows go, the rows that it replaced return."""

from collections import Counter

from airq.domain.errors import AirqError
from airq.domain.pollutants import NAMES
from airq.store import ledger
from airq.store.coverage import Touches, record_touched
from airq.store.ledger import Connection


class NotUndoable(AirqError):
    """A load can't be taken back: it changed nothing, or a later one touched its rows."""


async def undo(data: Connection, undo_id: int, load_id: int) -> int:
    """Take a load back in the open transaction of `data`, which holds the lock of loads.

    Args:
        undo_id: the ledger's number of this undo.
        load_id: the load to take back.

    Returns:
        The number of rows removed or restored.

    Raises:
        NotUndoable: it loaded nothing, was undone before, or a newer load touched its rows.
    """
    load = await ledger.find_load(data, load_id)
    if load.kind == "undo":
        raise NotUndoable(
            f"load {load_id} is an undo of load {load.undoes}; to redo that one, load its file again"
        )
    if load.undone_by is not None:
        raise NotUndoable(f"load {load_id} was undone before, by {load.undone_by}")
    if load.outcome != "loaded":
        raise NotUndoable(f"load {load_id} is “{load.outcome}”: there is nothing to undo")
    newer = await data.fetch(
        """
        SELECT DISTINCT replaced_by FROM airq.replaced_measurement gone
        WHERE load_id = $1 AND NOT EXISTS (
            SELECT FROM airq.load u WHERE u.undoes = gone.replaced_by AND u.outcome = 'loaded')
        ORDER BY replaced_by DESC
        """,
        load_id,
    )
    if newer:
        numbers = ", ".join(str(number) for [number] in newer)
        raise NotUndoable(f"newer loads replaced rows of load {load_id}; undo these first: {numbers}")
    columns = ", ".join(NAMES)
    restored = await data.fetch(
        f"""
        WITH back AS (
            UPDATE airq.measurement AS stored
            SET (load_id, {columns}) = ROW (old.load_id, {", ".join(f"old.{n}" for n in NAMES)})
            FROM airq.replaced_measurement AS old
            WHERE old.replaced_by = $1 AND stored.station_id = old.station_id
                AND stored.time = old.time AND stored.load_id = $1
            RETURNING stored.station_id, stored.time
        )
        SELECT station_id, date_trunc('month', time AT TIME ZONE 'UTC')::date, count(*)
        FROM back GROUP BY 1, 2
        """,
        load_id,
    )
    months = await data.fetch(
        "SELECT DISTINCT month FROM airq.load_month WHERE load_id = $1 ORDER BY 1", load_id
    )
    removed: Touches = Counter()
    for [month] in months:
        rows = await data.fetch(
            f"""
            WITH gone AS (
                DELETE FROM airq.measurement_{month:%Y_%m} WHERE load_id = $1 RETURNING station_id
            )
            SELECT station_id, count(*) FROM gone GROUP BY 1
            """,
            load_id,
        )
        removed.update({(station, month): -count for station, count in rows})
    changed: Touches = Counter({(station, month): count for station, month, count in restored})
    count = changed.total() - removed.total()
    if count != load.inserted + load.changed:
        raise NotUndoable(
            f"load {load_id} entered {load.inserted + load.changed} rows, {count} of them are still as "
            "it left them; nothing was undone"
        )
    await data.execute("DELETE FROM airq.replaced_measurement WHERE replaced_by = $1", load_id)
    await record_touched(data, undo_id, removed, changed)
    return count
