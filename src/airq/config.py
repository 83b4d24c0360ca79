"""Settings: read from the environment in one place, checked, frozen, with secrets masked."""

import re
from collections.abc import Callable, Mapping
from dataclasses import Field, dataclass, field, fields
from typing import Any, Literal, TypeVar
from urllib.parse import parse_qsl, urlsplit

from airq.domain.errors import ConfigurationError

T = TypeVar("T")
Purpose = Literal["loader", "reader"]
"""What a database is used for: to load into it, or to read what the API serves."""


class DatabaseUrl(str):
    """A PostgreSQL URL whose printed form hides the password."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"DatabaseUrl({self.masked})"

    @property
    def masked(self) -> str:
        """The URL with *** for the password.

        Of a malformed one, which a message may have to show, it rather hides too much than too little.
        """
        # What a lookahead found is not given up again: a scheme is no user. (`?+` says the same, and is
        # wrong in Python before 3.11.5.)
        masked = re.sub(r"^(?=((?:\w+:/+)?))\1([^:/@]*):.*@", r"\1\2:***@", self)
        return re.sub(r"(?i)(password\s*=\s*)('[^']*'|[^&\s]*)", r"\1***", masked)


class Secret(str):
    """A text whose printed form hides it."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "Secret(***)"

    @property
    def masked(self) -> str:
        """Stars in its place."""
        return "***"


_PLACEHOLDER = "change-me"


def _secret(text: str) -> Secret:
    # A secret that was read from a file brings the end of its line along.
    text = text.strip()
    if text.startswith(_PLACEHOLDER):
        raise ValueError(f"a secret of your own in the place of {_PLACEHOLDER}")
    if not re.fullmatch("[!-~]+", text):
        raise ValueError("printable ASCII without spaces, which is all that an HTTP header can carry")
    return Secret(text)


_TLS = ("TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3")
_URL_OPTIONS = {
    "sslmode": ("disable", "allow", "prefer", "require", "verify-ca", "verify-full"),
    "sslnegotiation": ("postgres", "direct"),
    "ssl_min_protocol_version": _TLS,
    "ssl_max_protocol_version": _TLS,
    "target_session_attrs":
        ("any", "read-write", "read-only", "primary", "standby", "prefer-standby"),
    "gsslib": ("gssapi", "sspi"),
}  # fmt: skip
"""Options of a database URL that have a list of values, in PostgreSQL's words, which are the driver's."""

_HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^:\[\]]*)(:\d{1,5})?")


def _url(text: str) -> DatabaseUrl:
    fault = ValueError(
        "a URL of the form postgresql://user:password@host:5432/database, with special characters in its "
        "parts percent-encoded (@ as %40, / as %2F)"
    )
    try:
        parts = urlsplit(text)
    except ValueError:
        raise fault from None
    hosts = parts.netloc.rpartition("@")[2].split(",")
    # A character that belongs to a password ends the host, and leaves its @ further behind.
    if "@" in parts.path or parts.fragment or not all(map(_HOST.fullmatch, hosts)):
        raise fault
    if not re.match("postgres(ql)?://", text):
        raise fault
    if (parts.password or "").startswith(_PLACEHOLDER):
        raise ValueError(f"a URL with a password of your own in the place of {_PLACEHOLDER}")
    try:
        options = parse_qsl(parts.query, strict_parsing=bool(parts.query))
    except ValueError:
        raise fault from None
    for name, value in options:
        if value not in (allowed := _URL_OPTIONS.get(name, (value,))):
            raise ValueError(f"a URL whose {name} is one of " + ", ".join(allowed))
    return DatabaseUrl(text)


def _host(text: str) -> str:
    # The form of an IPv6 address in a URL, as the service prints it.
    return text[1:-1] if text.startswith("[") and text.endswith("]") else text


def _purge_url(text: str) -> str:
    try:
        parts = urlsplit(text)
        usable = parts.scheme == "http" and parts.hostname and parts.port != 0
    except ValueError:  # Of brackets that hold no address, and of a port that is none.
        usable = False
    # A user, a path and a query would be ignored.
    if not usable or not re.fullmatch(r"http://[^/?#@\s]+/?", text, re.IGNORECASE):
        raise ValueError("a URL of the form http://cache:8081/, of a host and a port alone")
    return text


def _whole(least: int, most: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        if not re.fullmatch(r"\d{1,9}", text) or not least <= int(text) <= most:
            raise ValueError(f"a whole number from {least:,} to {most:,}")
        return int(text)

    return parse


def _seconds(most: float) -> Callable[[str], float]:
    def parse(text: str) -> float:
        if not re.fullmatch(r"\d{1,6}(\.\d{1,3})?", text) or float(text) > most:
            raise ValueError(f"a number of seconds from 0 to {most:g}")
        return float(text)

    return parse


def _one_of(*allowed: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text.lower() not in allowed:
            raise ValueError("one of " + ", ".join(allowed))
        return text.lower()

    return parse


def _text(text: str) -> str:
    return text


def _setting(name: str, parse: Callable[[str], T], meaning: str, default: T | None = None) -> Any:
    """Declare a field that is read from an environment variable."""
    return field(default=default, metadata={"name": name, "parse": parse, "help": meaning})


@dataclass(frozen=True)
class Settings:
    """Everything that can be set from outside; each field's documentation is its `help`."""

    database_url: DatabaseUrl | None = _setting(
        "AIRQ_DATABASE_URL",
        _url,
        "PostgreSQL that airq works on, as its owner; left out, airq starts one of its own.",
    )
    loader_url: DatabaseUrl | None = _setting(
        "AIRQ_LOADER_URL", _url, "The same database for `load`; AIRQ_DATABASE_URL if left out."
    )
    reader_url: DatabaseUrl | None = _setting(
        "AIRQ_READER_URL", _url, "The same database for `serve`; AIRQ_DATABASE_URL if left out."
    )
    replica_url: DatabaseUrl | None = _setting(
        "AIRQ_REPLICA_URL",
        _url,
        "Streaming replicas that `serve` reads, as `load` reaches them: it purges caches once all of "
        "their hosts show what it committed.",
    )
    replica_wait_seconds: float = _setting(
        "AIRQ_REPLICA_WAIT_SECONDS", _seconds(3600), "How long a load waits for replicas, at most.", 60.0
    )
    data_directory: str | None = _setting(
        "AIRQ_DATA_DIRECTORY", _text, "Where the PostgreSQL of its own keeps its data."
    )
    host: str = _setting("AIRQ_HOST", _host, "Address to listen on; * for all.", "127.0.0.1")
    port: int = _setting("AIRQ_PORT", _whole(1, 65535), "Port of the API.", 8080)
    metrics_port: int = _setting(
        "AIRQ_METRICS_PORT", _whole(1, 65535), "Port of the Prometheus metrics.", 9464
    )
    pool_size: int = _setting(
        "AIRQ_POOL_SIZE", _whole(2, 500), "Most database connections of one API process.", 10
    )
    statement_timeout_seconds: float = _setting(
        "AIRQ_STATEMENT_TIMEOUT_SECONDS",
        _seconds(3600),
        "A query that takes longer is ended and answered with 503; 0 for no limit.",
        10.0,
    )
    drain_seconds: float = _setting(
        "AIRQ_DRAIN_SECONDS",
        _seconds(600),
        "On SIGTERM: how long readiness fails before the port closes.",
        0.0,
    )
    shutdown_seconds: float = _setting(
        "AIRQ_SHUTDOWN_SECONDS",
        _seconds(600),
        "How long running requests may take to finish behind that.",
        20.0,
    )
    max_age_seconds: int = _setting(
        "AIRQ_MAX_AGE_SECONDS", _whole(0, 31_536_000), "How long a browser may keep an answer.", 60
    )
    shared_max_age_seconds: int = _setting(
        "AIRQ_SHARED_MAX_AGE_SECONDS",
        _whole(0, 31_536_000),
        "How long a shared cache may keep an answer that no purge drops.",
        600,
    )
    purge_url: str | None = _setting(
        "AIRQ_PURGE_URL",
        _purge_url,
        "Purge listener of the HTTP caches in front, such as http://cache:8081/; every address behind "
        "its name is purged. Left out, nothing is purged.",
    )
    purge_token: str | None = _setting(
        "AIRQ_PURGE_TOKEN", _secret, "What the caches ask for before they purge; a purge URL needs it."
    )
    purge_again_seconds: float = _setting(
        "AIRQ_PURGE_AGAIN_SECONDS",
        _seconds(600),
        "A load purges once more after this time, longer than a query may take; 0 for never.",
        12.0,
    )
    log_format: str = _setting(
        "AIRQ_LOG_FORMAT",
        _one_of("auto", "json", "text"),
        "json, text, or auto: text on a terminal, else json.",
        "auto",
    )
    log_requests: str = _setting(
        "AIRQ_LOG_REQUESTS",
        _one_of("all", "errors", "none"),
        "Which requests are logged: all, errors (status 500 and above) or none.",
        "all",
    )

    unknown: tuple[str, ...] = field(default=(), metadata={})
    """AIRQ_ variables that are no settings: typing errors, or meant for other programs."""

    def url_of(self, purpose: Purpose) -> DatabaseUrl | None:
        """Return the database as the loader or the API reaches it; None where no URL names one.

        Raises:
            ConfigurationError: only URLs for others are set, so that no database of our own is meant.
        """
        own = self.loader_url if purpose == "loader" else self.reader_url
        if url := own or self.database_url:
            return url
        others = [f.metadata["name"] for f in fields(self) if isinstance(getattr(self, f.name), DatabaseUrl)]
        if others:
            missing = f"AIRQ_{purpose.upper()}_URL"
            raise ConfigurationError(
                f"{missing} is not set and {others[0]} is: name the same database in {missing}, or in "
                "AIRQ_DATABASE_URL for every role"
            )
        return None


def read_settings(environment: Mapping[str, str]) -> Settings:
    """Read the settings from environment variables; an empty one counts as left out.

    Raises:
        ConfigurationError: variables have values that are not allowed or, where each of them could be read,
            not together, or one is missing that another needs; the message names all of them.
    """
    declared = {f.metadata["name"]: f for f in fields(Settings) if f.metadata}
    values: dict[str, Any] = {}
    faults, unknown = [], []
    for name, text in environment.items():
        if not name.startswith("AIRQ_") or not text:
            continue
        if name not in declared:
            unknown.append(name)
            continue
        setting = declared[name]
        try:
            values[setting.name] = setting.metadata["parse"](text)
        except ValueError as error:
            faults.append(f"{name} is “{_shown(setting, text)}”; it must be {error}")
    settings = Settings(**values, unknown=tuple(sorted(unknown)))
    if not faults:  # What could not be read can't be compared.
        if settings.port == settings.metrics_port:
            faults.append(f"AIRQ_PORT and AIRQ_METRICS_PORT are both {settings.port}; each must have its own")
        if settings.purge_url is not None and settings.purge_token is None:
            # A load would learn it from the caches, when it is committed.
            faults.append(
                "AIRQ_PURGE_TOKEN is not set and AIRQ_PURGE_URL is; it must be what the caches ask for"
            )
    if faults:
        raise ConfigurationError("\n".join(faults))
    return settings


def _shown(setting: Field[Any], text: str) -> str:
    """Return a faulty value as a message may show it."""
    if setting.metadata["parse"] is _secret:
        return Secret(text).masked
    return DatabaseUrl(text).masked if setting.metadata["name"].endswith("_URL") else text
