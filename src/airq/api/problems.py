"""Every error that the API answers with, in the form of RFC 9457."""

from dataclasses import dataclass, field
from typing import Any

import msgspec

from airq.domain.stations import UnknownStation
from airq.store.connections import DatabaseUnavailable, SchemaUnusable, SessionExpired, StatementTimeout
from airq.store.pool import TooBusy

MEDIA_TYPE = "application/problem+json"
RETRY_AFTER_SECONDS = 5


@dataclass
class Problem(Exception):
    """An error that a client is told of.

    Args:
        kind: its type, documented under this name at `/docs`.
        detail: what is wrong in this request and how to mend it.
        members: further members of the answer, such as parameter, value, allowed.
        headers: further headers of the answer.
    """

    kind: str
    detail: str
    members: dict[str, Any] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def status(self) -> int:
        """The HTTP status."""
        return KINDS[self.kind][0]

    def body(self, request_id: str) -> bytes:
        """Return the JSON text."""
        status, title = KINDS[self.kind]
        return msgspec.json.encode(
            {
                "type": f"/docs#{self.kind}",
                "title": title,
                "status": status,
                "detail": self.detail,
                **self.members,
                "request_id": request_id,
            }
        )


KINDS: dict[str, tuple[int, str]] = {
    "unknown-parameter": (400, "Unknown parameter"),
    "repeated-parameter": (400, "Parameter given more than once"),
    "invalid-parameter": (400, "Invalid value of a parameter"),
    "foreign-cursor": (400, "Cursor of another query"),
    "bad-request": (400, "Bad request"),
    "unknown-station": (404, "Unknown station"),
    "not-found": (404, "Not found"),
    "method-not-allowed": (405, "Method not allowed"),
    "not-acceptable": (406, "No acceptable format"),
    "uri-too-long": (414, "URI too long"),
    "upgrade-required": (426, "Upgrade required"),
    "headers-too-large": (431, "Request headers too large"),
    "internal-error": (500, "Internal error"),
    "database-unavailable": (503, "Database unavailable"),
    "query-too-slow": (503, "Query took too long"),
    "too-busy": (503, "Too many requests at once"),
    "export-stalled": (503, "Export read too slowly"),
    "draining": (503, "Shutting down"),
    "schema-too-old": (503, "Schema too old"),
    # What the cache in front of the API answers by itself; consumers see one service.
    "too-many-requests": (429, "Too many requests"),
    "api-unavailable": (503, "Service unavailable"),
}
"""Kind → HTTP status and title."""


def of_exception(error: Exception) -> Problem:
    """Return the problem that an exception is answered with: the one table of both."""
    retry = {"retry-after": str(RETRY_AFTER_SECONDS)}
    match error:
        case Problem():
            return error
        case UnknownStation():
            return Problem(
                "unknown-station",
                f"No station is called “{error.name[:200]}”; /stations lists them all.",
                {"parameter": "station", "value": error.name[:200], "allowed": "a name that /stations lists"},
            )
        case StatementTimeout():
            return Problem(
                "query-too-slow",
                "The database took longer than a query may. Ask for a shorter time range, fewer "
                "stations or a smaller limit, or try again later.",
                headers=retry,
            )
        case TooBusy():
            return Problem(
                "too-busy",
                "More requests or exports are running than are served at once. Try again in a few seconds.",
                headers=retry,
            )
        case SessionExpired():
            return Problem(
                "export-stalled",
                "The export waited too long for its reader. Send the request again, and read the answer "
                "without long breaks.",
                headers=retry,
            )
        case SchemaUnusable():
            return Problem("schema-too-old", f"The operator has to act: {error}.", headers=retry)
        case DatabaseUnavailable():
            return Problem(
                "database-unavailable",
                "The database does not answer at the moment. Try again in a few seconds.",
                headers=retry,
            )
        case _:
            return Problem("internal-error", "A fault of the service, not of your request.")
