"""Answers of any size: sent chunk by chunk while the rows are read, in constant memory."""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import aclosing, suppress
from typing import Any

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from airq.api.envelope import served
from airq.api.representations import render_head, render_rows
from airq.domain.queries import Query
from airq.store.measurements import Measurements


class Export(Response):
    """Every row of a query, from one snapshot.

    Args:
        store: where the rows are read.
        query: without a limit, as CSV or NDJSON.
        headers_of: returns the answer's headers by the version of its rows.
        on_answer: called when the database has given the first rows.
    """

    def __init__(
        self,
        store: Measurements,
        query: Query,
        headers_of: Callable[[int], Mapping[str, str]],
        on_answer: Callable[[], None],
    ) -> None:
        super().__init__()
        self._store, self._query, self._headers_of, self._on_answer = store, query, headers_of, on_answer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the answer.

        A fault before the first row is answered like that of any request. Behind it, the exception goes
        on to the server, which breaks the connection: nothing else tells a client that rows are missing.
        """
        if scope["method"] == "HEAD":
            await send(self._start(await self._store.version(self._query)))
            self._on_answer()
            await send(_part(render_head(self._query.format, self._query.pollutants)))
            await send({"type": "http.response.body", "body": b""})
            return
        form, pollutants = self._query.format, self._query.pollutants
        gone = asyncio.create_task(_disconnected(receive))
        try:
            async with aclosing(self._store.export(self._query)) as chunks:
                version, rows = await anext(chunks)
                self._on_answer()
                await send(self._start(version))
                await send(_part(render_head(form, pollutants) + render_rows(form, rows, pollutants)))
                served(scope).rows += len(rows)
                async for _, rows in chunks:
                    if gone.done():
                        served(scope).error = "client-gone"
                        return
                    await send(_part(render_rows(form, rows, pollutants)))
                    served(scope).rows += len(rows)
            await send({"type": "http.response.body", "body": b""})
        finally:
            gone.cancel()
            with suppress(asyncio.CancelledError):
                await gone

    def _start(self, version: int) -> dict[str, Any]:
        # How long it becomes shows only at its end.
        headers = [(name.encode(), value.encode()) for name, value in self._headers_of(version).items()]
        return {"type": "http.response.start", "status": 200, "headers": headers}


def _part(body: bytes) -> dict[str, Any]:
    return {"type": "http.response.body", "body": body, "more_body": True}


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
