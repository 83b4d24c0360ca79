"""The command line: the composition root, where everything is wired together. Nobody imports it."""

from airq.cli.main import airq, main
from airq.cli.statuses import FAILED, MISUSED, PARTIAL, REFUSED

__all__ = ["FAILED", "MISUSED", "PARTIAL", "REFUSED", "airq", "main"]
