"""Answers leave compressed for those who accept it."""

from functools import lru_cache

from starlette.middleware.gzip import GZipResponder
from starlette.types import ASGIApp, Message, Receive, Scope, Send

SMALLEST_COMPRESSED = 1_000
"""Bytes below which compressing costs more than it saves."""

COMPRESSION_LEVEL = 6


class Compression:
    """Compresses with gzip where the client accepts it, and costs others one look at their headers."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        accepted = [value for name, value in scope["headers"] if name == b"accept-encoding"]
        if not accepted or not accepts_gzip(b",".join(accepted)):
            await self._app(scope, receive, send)
            return

        async def send_once_varied(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [
                    (name, _without_repetition(value) if name == b"vary" else value)
                    for name, value in message["headers"]
                ]
            await send(message)

        responder = GZipResponder(self._app, SMALLEST_COMPRESSED, COMPRESSION_LEVEL)
        await responder(scope, receive, send_once_varied)


@lru_cache(maxsize=256)
def accepts_gzip(accept_encoding: bytes) -> bool:
    """Tell whether an Accept-Encoding header names gzip with a weight above zero (RFC 9110, 12.5.3)."""
    for item in accept_encoding.lower().split(b","):
        coding, _, weight = item.replace(b" ", b"").partition(b";q=")
        if coding in (b"gzip", b"x-gzip"):
            return weight.strip(b"0.") != b"" if weight else True
    return False


def _without_repetition(value: bytes) -> bytes:
    return b", ".join(dict.fromkeys(part.strip() for part in value.split(b",")))
