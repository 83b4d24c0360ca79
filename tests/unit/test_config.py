"""Settings: each is checked when it is read, and no password is ever printed."""

import ssl
from dataclasses import FrozenInstanceError, fields

import pytest
from asyncpg import connect_utils

from airq.config import _URL_OPTIONS, DatabaseUrl, Purpose, Settings, read_settings
from airq.domain.errors import ConfigurationError

URL = "postgresql://owner:secret@db.example.org:5432/air"


def fault(**environment: str) -> str:
    with pytest.raises(ConfigurationError) as caught:
        read_settings(environment)
    return str(caught.value)


def test_without_any_variable_everything_has_a_default() -> None:
    settings = read_settings({"HOME": "/home/somebody"})
    assert settings == Settings()
    assert (settings.database_url, settings.port, settings.host) == (None, 8080, "127.0.0.1")


def test_an_empty_variable_counts_as_left_out() -> None:
    assert read_settings({"AIRQ_PORT": "", "AIRQ_DATABASE_URL": ""}) == Settings()


def test_each_setting_is_read_from_its_variable() -> None:
    settings = read_settings(
        {"AIRQ_PORT": "9000", "AIRQ_STATEMENT_TIMEOUT_SECONDS": "2.5", "AIRQ_LOG_FORMAT": "JSON"}
    )
    assert (settings.port, settings.statement_timeout_seconds, settings.log_format) == (9000, 2.5, "json")


def test_settings_never_change() -> None:
    with pytest.raises(FrozenInstanceError):
        Settings().port = 1  # type: ignore[misc]


def test_every_setting_has_a_name_of_its_own_and_says_what_it_means() -> None:
    declared = [field.metadata for field in fields(Settings) if field.metadata]
    names = [metadata["name"] for metadata in declared]
    assert len(set(names)) == len(names) > 10
    assert all(name.startswith("AIRQ_") for name in names)
    assert all(metadata["help"].endswith(".") for metadata in declared)


@pytest.mark.parametrize(
    ("name", "value", "needed"),
    [
        ("AIRQ_PORT", "0", "a whole number from 1 to 65,535"),
        ("AIRQ_PORT", "65536", "a whole number from 1 to 65,535"),
        ("AIRQ_PORT", "http", "a whole number from 1 to 65,535"),
        ("AIRQ_PORT", "80.0", "a whole number from 1 to 65,535"),
        ("AIRQ_STATEMENT_TIMEOUT_SECONDS", "-1", "a number of seconds from 0 to 3600"),
        ("AIRQ_STATEMENT_TIMEOUT_SECONDS", "10s", "a number of seconds from 0 to 3600"),
        ("AIRQ_STATEMENT_TIMEOUT_SECONDS", "nan", "a number of seconds from 0 to 3600"),
        ("AIRQ_LOG_FORMAT", "xml", "one of auto, json, text"),
    ],
)
def test_a_value_that_is_not_allowed_is_told_with_what_is(name: str, value: str, needed: str) -> None:
    assert fault(**{name: value}) == f"{name} is “{value}”; it must be {needed}"


def test_all_faults_are_told_at_once() -> None:
    assert fault(AIRQ_PORT="x", AIRQ_LOG_FORMAT="y").count("\n") == 1
    assert fault(AIRQ_PORT="9464", AIRQ_PURGE_URL="http://cache/").count("\n") == 1


def test_what_could_not_be_read_is_compared_with_nothing() -> None:
    assert fault(AIRQ_PORT="x", AIRQ_METRICS_PORT="8080").count("\n") == 0


@pytest.mark.parametrize(
    "ports",
    [{"AIRQ_PORT": "9464"}, {"AIRQ_METRICS_PORT": "8080"}, {"AIRQ_PORT": "99", "AIRQ_METRICS_PORT": "99"}],
)
def test_the_api_and_the_metrics_can_not_share_a_port(ports: dict[str, str]) -> None:
    port = next(iter(ports.values()))
    assert fault(**ports) == f"AIRQ_PORT and AIRQ_METRICS_PORT are both {port}; each must have its own"


def test_variables_that_are_no_settings_are_remembered() -> None:
    assert read_settings({"AIRQ_PROT": "1", "AIRQ_A": "2"}).unknown == ("AIRQ_A", "AIRQ_PROT")


def test_the_loader_and_the_reader_fall_back_to_the_owners_url() -> None:
    alone = read_settings({"AIRQ_DATABASE_URL": URL})
    assert alone.url_of("loader") == alone.url_of("reader") == URL
    both = read_settings(
        {
            "AIRQ_DATABASE_URL": URL,
            "AIRQ_LOADER_URL": "postgres://l@h/a",
            "AIRQ_READER_URL": "postgres://r@h/a",
        }
    )
    assert (both.url_of("loader"), both.url_of("reader")) == ("postgres://l@h/a", "postgres://r@h/a")


def test_without_any_url_there_is_none_for_anybody() -> None:
    settings = read_settings({"AIRQ_PURGE_URL": "http://cache/", "AIRQ_PURGE_TOKEN": "secret"})
    assert settings.url_of("loader") is settings.url_of("reader") is None


@pytest.mark.parametrize(
    ("there", "purpose", "missing"),
    [
        ("AIRQ_LOADER_URL", "reader", "AIRQ_READER_URL"),
        ("AIRQ_READER_URL", "loader", "AIRQ_LOADER_URL"),
        ("AIRQ_REPLICA_URL", "loader", "AIRQ_LOADER_URL"),
    ],
)
def test_a_url_for_others_alone_does_not_mean_another_database(
    there: str, purpose: Purpose, missing: str
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        read_settings({there: URL}).url_of(purpose)
    assert str(caught.value) == (
        f"{missing} is not set and {there} is: name the same database in {missing}, or in "
        "AIRQ_DATABASE_URL for every role"
    )


SECRETS = {
    URL: "postgresql://owner:***@db.example.org:5432/air",
    "postgresql://owner@db/air": "postgresql://owner@db/air",
    "postgresql://db:5432/air": "postgresql://db:5432/air",
    "postgresql:///air?host=/run/postgresql": "postgresql:///air?host=/run/postgresql",
    "postgresql://o@db/air?password=secret&sslmode=require":
        "postgresql://o@db/air?password=***&sslmode=require",
    "postgresql://o@db/air?sslmode=require&sslpassword=secret":
        "postgresql://o@db/air?sslmode=require&sslpassword=***",
    "postgresql://:secret@db/air": "postgresql://:***@db/air",
    # Mistakes, which are just what is shown to a person.
    "postgresql://o:sec/ret@db/air": "postgresql://o:***@db/air",
    "postgresql://o:sec@ret@db/air": "postgresql://o:***@db/air",
    "postgresql://o:sec:ret@db/air": "postgresql://o:***@db/air",
    "mysql://o:secret@db/air": "mysql://o:***@db/air",
    "host=db user=o password=secret dbname=air": "host=db user=o password=*** dbname=air",
    "host=db password='se cret' dbname=air": "host=db password=*** dbname=air",
    "o:secret@db/air": "o:***@db/air",
}  # fmt: skip


@pytest.mark.parametrize("text", SECRETS)
def test_no_password_of_a_url_is_printed(text: str) -> None:
    assert DatabaseUrl(text).masked == SECRETS[text]
    assert repr(DatabaseUrl(text)) == f"DatabaseUrl({SECRETS[text]})"


def test_no_password_is_in_what_settings_print() -> None:
    settings = read_settings({"AIRQ_DATABASE_URL": URL, "AIRQ_PURGE_TOKEN": "secret"})
    assert "secret" not in repr(settings)
    assert settings.database_url == URL


@pytest.mark.parametrize(
    "url",
    [
        "mysql://o:secret@db/air", "host=db password=secret", "o:secret@db/air", "postgresql://[db/air",
        "postgresql:/o:secret@db/air", "postgresql://o:sec/ret@db/air", "postgresql://o:sec#ret@db/air",
        "postgresql://o:sec?ret@db/air", "postgresql://o:secret@db:port/air",
    ],
)  # fmt: skip
def test_a_malformed_url_is_refused_without_its_password(url: str) -> None:
    told = fault(AIRQ_DATABASE_URL=url)
    assert told.startswith("AIRQ_DATABASE_URL is “")
    assert "a URL of the form postgresql://user:password@host:5432/database" in told
    assert "secret" not in told
    assert "ret@" not in told


def test_a_character_that_a_url_can_not_hold_is_told_how_to_write() -> None:
    assert "percent-encoded" in fault(AIRQ_READER_URL="postgresql://o:sec/ret@db/air")


@pytest.mark.parametrize(
    "url",
    [
        URL, "postgres://o@db", "postgresql://o:p%40ss%2Fword@db/air?sslmode=verify-full&sslrootcert=/ca.pem",
        "postgresql:///air?host=/run/postgresql", "postgresql://o@/air?host=%2Frun", "postgresql://[::1]:5433/air",
        "postgresql://o@db1:5432,db2:5432/air?target_session_attrs=primary",
    ],
)  # fmt: skip
def test_every_form_of_url_that_postgresql_knows_is_taken(url: str) -> None:
    assert read_settings({"AIRQ_DATABASE_URL": url}).database_url == url


@pytest.mark.parametrize(
    ("option", "needed"),
    [
        ("sslmode=foo", "a URL whose sslmode is one of disable, allow, prefer, require, verify-ca, "),
        ("sslmode=require&sslmode=verify_full", "a URL whose sslmode is one of disable, allow,"),
        ("sslnegotiation=tls", "a URL whose sslnegotiation is one of postgres, direct"),
        ("ssl_min_protocol_version=1.2", "a URL whose ssl_min_protocol_version is one of TLSv1, TLSv1.1,"),
        ("ssl_max_protocol_version=SSLv3", "a URL whose ssl_max_protocol_version is one of TLSv1, TLSv1.1,"),
        ("target_session_attrs=master", "a URL whose target_session_attrs is one of any, read-write,"),
        ("sslmode", "a URL of the form"),
    ],
)  # fmt: skip
def test_an_option_of_a_url_whose_values_are_known_has_one_of_them(option: str, needed: str) -> None:
    url = "postgresql://o@db/air?application_name=x&" + option
    assert fault(AIRQ_DATABASE_URL=url).startswith(f"AIRQ_DATABASE_URL is “{url}”; it must be {needed}")


def test_every_value_of_an_option_that_is_taken_is_one_of_the_drivers() -> None:
    # Those of TLS, which the driver finds by their names, are in the standard library.
    values = _URL_OPTIONS["sslmode"]
    assert {value.replace("-", "_") for value in values} == set(connect_utils.SSLMode.__members__)
    assert set(_URL_OPTIONS["sslnegotiation"]) == {each.value for each in connect_utils.SSLNegotiation}
    assert set(_URL_OPTIONS["target_session_attrs"]) == {
        each.value for each in connect_utils.SessionAttribute
    }
    for version in _URL_OPTIONS["ssl_min_protocol_version"]:
        assert hasattr(ssl.TLSVersion, version.replace(".", "_"))


@pytest.mark.parametrize("host", ["::1", "[::1]"])
def test_an_address_of_ipv6_may_be_in_brackets_as_in_a_url(host: str) -> None:
    assert read_settings({"AIRQ_HOST": host}).host == "::1"


def test_a_url_whose_password_is_the_placeholder_is_refused() -> None:
    said = fault(AIRQ_READER_URL="postgresql://airq_reader:change-me@database/airq")
    assert "AIRQ_READER_URL" in said
    assert "a password of your own" in said


def test_a_purge_token_that_is_the_placeholder_is_refused_and_not_shown() -> None:
    needed = "a secret of your own in the place of change-me"
    for token in ("change-me", "change-me-too", "\nchange-me"):
        assert fault(AIRQ_PURGE_TOKEN=token) == f"AIRQ_PURGE_TOKEN is “***”; it must be {needed}"


@pytest.mark.parametrize("token", ["ge€heim", "geh\neim", "geh eim", "geh\x7feim", "geh\udce9im", " \n"])
def test_a_purge_token_that_no_header_can_carry_is_refused_and_not_shown(token: str) -> None:
    needed = "printable ASCII without spaces, which is all that an HTTP header can carry"
    assert fault(AIRQ_PURGE_TOKEN=token) == f"AIRQ_PURGE_TOKEN is “***”; it must be {needed}"


def test_a_purge_token_comes_without_the_end_of_its_line() -> None:
    assert read_settings({"AIRQ_PURGE_TOKEN": "s3cret!~\r\n"}).purge_token == "s3cret!~"


@pytest.mark.parametrize(
    "url", ["http://cache:8081/", "http://cache", "HTTP://127.0.0.1:65535", "http://[::1]:8081/"]
)
def test_a_purge_url_names_a_host_and_perhaps_a_port(url: str) -> None:
    assert read_settings({"AIRQ_PURGE_URL": url, "AIRQ_PURGE_TOKEN": "secret"}).purge_url == url


@pytest.mark.parametrize("token", [{}, {"AIRQ_PURGE_TOKEN": ""}], ids=["none", "empty"])
def test_a_purge_url_without_a_token_is_refused(token: dict[str, str]) -> None:
    assert fault(AIRQ_PURGE_URL="http://cache:8081/", **token) == (
        "AIRQ_PURGE_TOKEN is not set and AIRQ_PURGE_URL is; it must be what the caches ask for"
    )


@pytest.mark.parametrize(
    "url",
    [
        "cache:8081", "https://cache:8081/", "http://", "http://:8081/", "http://[x/", "http://cache:80x/",
        "http://cache:0/", "http://cache:65536/", "http://cache:8081/\n", "http://ca che/",
        "http://cache/purge", "http://cache/?all", "http://cache/#all",
    ],
)  # fmt: skip
def test_a_purge_url_of_another_form_is_refused(url: str) -> None:
    needed = "a URL of the form http://cache:8081/, of a host and a port alone"
    assert fault(AIRQ_PURGE_URL=url) == f"AIRQ_PURGE_URL is “{url}”; it must be {needed}"


def test_a_purge_url_with_a_password_is_refused_without_it() -> None:
    assert fault(AIRQ_PURGE_URL="http://u:secret@cache/").startswith(
        "AIRQ_PURGE_URL is “http://u:***@cache/”; it must be a URL of the form"
    )
