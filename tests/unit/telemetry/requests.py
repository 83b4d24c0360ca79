"""Requests as events."""

from typing import Any

from airq.telemetry.events import RequestFinished


def finished(**changes: Any) -> RequestFinished:
    """Return the event of a request."""
    usual: dict[str, Any] = {
        "method": "GET", "route": "/air_quality", "target": "/air_quality?limit=1", "status": 200,
        "duration_seconds": 0.02, "rows": 5, "size": 99, "request_id": "abc",
    }  # fmt: skip
    return RequestFinished(**usual | changes)
