"""Types of command-line options: text → value, with errors that say what is allowed."""

import math
import re
from contextlib import suppress
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import click

from airq.domain.instants import UnreadableInstant, parse_instant, to_datetime
from airq.domain.tolerance import Tolerance

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


class _Type(click.ParamType[Any]):
    allowed: str

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if not isinstance(value, str):
            return value
        try:
            return self.read(value.strip())
        except ValueError:
            return self.fail(f"“{value}” must be {self.allowed}.", param, ctx)

    def read(self, text: str) -> object:
        raise NotImplementedError


class _Timezone(_Type):
    name = "zone"
    allowed = "a zone of the IANA database, such as Europe/Madrid or UTC"

    def read(self, text: str) -> tzinfo:
        if text.upper() == "UTC":
            return UTC
        try:
            return ZoneInfo(text)
        except (ZoneInfoNotFoundError, OSError):
            raise ValueError from None


class _Missing(_Type):
    name = "mark"
    allowed = "a number or a text, such as -9999 or NA"

    def read(self, text: str) -> float | str:
        if not text:
            raise ValueError
        with suppress(ValueError):
            number = float(text)
            if math.isfinite(number):
                return number
        return text


class _Tolerance(_Type):
    name = "share|rows"
    allowed = "a share from 0% to 100%, or a whole number of rows"

    def read(self, text: str) -> Tolerance:
        if re.fullmatch(r"\d{1,9}", text):
            return Tolerance(rows=int(text))
        if not text.endswith("%") or not 0 <= float(text[:-1]) <= 100:
            raise ValueError
        return Tolerance(share=float(text[:-1]) / 100)


class _Interval(_Type):
    name = "interval"
    allowed = "a number and s, m, h or d, such as 10s, 15m or 1h"

    def read(self, text: str) -> timedelta:
        parts = re.fullmatch(r"(\d{1,6}) ?([smhd])", text)
        if parts is None or int(parts[1]) == 0:
            raise ValueError
        return timedelta(**{_UNITS[parts[2]]: int(parts[1])})


class _Instant(_Type):
    name = "time"
    allowed = "a time such as 2025-01-01 or 2025-01-01T06:00:00Z"

    def read(self, text: str) -> datetime:
        try:
            return to_datetime(parse_instant(text, date_alone=True))
        except UnreadableInstant:
            raise ValueError from None


class _Place(click.ParamType[str]):
    name = "file|url|-"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        # A path may begin or end with blanks, so that none are taken off.
        if not value:
            self.fail("“” must be a path, a URL or -; is a variable of the shell not set?", param, ctx)
        return value


PLACE = _Place()
TIMEZONE, MISSING, TOLERANCE = _Timezone(), _Missing(), _Tolerance()
INTERVAL, INSTANT = _Interval(), _Instant()

NUMBER = click.IntRange(1, 2**31 - 1)
"""The number of a load, as far as the ledger can count, and how many of something to show."""
