"""Migration: the schema, the roles and their passwords, on whatever server the operator has."""

import asyncio
import itertools
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from airq import embedded
from airq.domain.errors import AirqError
from airq.store import migrator, schema
from airq.store.connections import DatabaseUnavailable, connected
from airq.store.migrator import Migration, MigrationFailed, Role, migrate
from tests.conftest import Airq, Database, Finished, execute
from tests.integration.network import PASSWORD, Network, network
from tests.integration.publishing import HEADER
from tests.integration.sessions import session
from tests.ports import free_port

_numbers = itertools.count(1)
NEWEST = schema.NEEDED_SCHEMA


@pytest.fixture
def empty(server: embedded.Server) -> Database:
    """A database without any schema, all of whose URLs are the superuser's."""
    name = f"migrate_{next(_numbers)}"
    execute(server.url, f"CREATE DATABASE {name}")
    url = server.url.replace("/airq?", f"/{name}?")
    return Database(url, url, url)


@pytest.fixture(scope="module")
def tcp(server: embedded.Server) -> Iterator[Network]:
    with network(server.binaries, free_port()) as made:
        yield made


def run(database: Database, loader: Role | None = None, reader: Role | None = None) -> Migration:
    return asyncio.run(migrate(database.owner, loader, reader))


def test_a_migration_from_nothing_makes_schema_and_roles_and_a_second_one_has_nothing_to_do(
    empty: Database,
) -> None:
    number = next(_numbers)
    roles = Role(f"loads {number}", None), Role(f'"reads" {number}', None)
    first = run(empty, *roles)
    assert (first.before, first.now) == (None, NEWEST)
    assert first.notices == [f"made role loads {number}", f'made role "reads" {number}']
    assert empty.fetch("SELECT count(*) FROM airq.measurement") == [(0,)]
    second = run(empty, *roles)
    assert (second.before, second.now, second.notices) == (NEWEST, NEWEST, [])


def test_the_command_says_what_it_did(empty: Database, airq: Airq) -> None:
    first = airq("migrate", database=empty)
    assert (first.status, first.out) == (
        0,
        f"the schema went from nothing to {NEWEST}; roles are up to date\n",
    )
    second = airq("migrate", database=empty)
    assert (second.status, second.out) == (
        0, f"the schema is at {NEWEST}: nothing to do; roles are up to date\n"
    )  # fmt: skip
    third = airq("migrate", "--json", database=empty)
    assert json.loads(third.out) == {"before": NEWEST, "now": NEWEST, "notices": []}


def test_the_command_needs_a_url(airq: Airq) -> None:
    done = airq("migrate")
    assert done.status == 2
    assert "AIRQ_DATABASE_URL is not set" in done.err


def test_migrations_at_once_come_one_after_the_other(empty: Database) -> None:
    said: list[str] = []

    async def all_at_once() -> list[Migration]:
        return await asyncio.gather(*(migrate(empty.owner, None, None, said.append) for _ in range(3)))

    assert sorted(str(done.before) for done in asyncio.run(all_at_once())) == [NEWEST, NEWEST, "None"]
    assert set(said) <= {"another migration is running; waiting for it"}


def test_a_later_schema_than_this_version_knows_is_left_as_it_is(empty: Database) -> None:
    run(empty)
    empty.execute("UPDATE airq.alembic_version SET version_num = '9001'")
    done = run(empty)
    assert (done.before, done.now) == ("9001", "9001")


def test_a_lock_that_others_hold_is_tried_for_and_then_told(
    empty: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(empty)
    monkeypatch.setattr(migrator, "LOCK_TIMEOUT", "20ms")
    monkeypatch.setattr(migrator, "LOCK_TRIES", 3)
    monkeypatch.setattr(migrator, "RETRY_SECONDS", 0.01)
    said: list[str] = []
    with (
        session(empty, "LOCK TABLE airq.alembic_version IN ACCESS EXCLUSIVE MODE"),
        pytest.raises(
            MigrationFailed, match=r"held the tables' locks for 3 tries of 20ms; see pg_stat_activity"
        ),
    ):
        asyncio.run(migrate(empty.owner, None, None, said.append))
    assert said == [f"a table is locked by another session; trying again ({n})" for n in (1, 2)]
    assert run(empty).now == NEWEST


def test_a_lock_that_is_given_in_time_does_no_harm(empty: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    run(empty)
    monkeypatch.setattr(migrator, "LOCK_TIMEOUT", "20ms")
    monkeypatch.setattr(migrator, "RETRY_SECONDS", 0.01)
    with session(empty, "LOCK TABLE airq.alembic_version IN ACCESS EXCLUSIVE MODE") as holder:

        def let_go(message: str) -> None:
            holder.start("ROLLBACK")

        done = asyncio.run(migrate(empty.owner, None, None, let_go))
    assert done.now == NEWEST


def test_a_server_that_is_too_old_is_told(empty: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(migrator, "NEEDED_SERVER", 99)
    with pytest.raises(MigrationFailed, match=r"the server is PostgreSQL 18\S*; airq needs 99 or newer"):
        run(empty)
    assert empty.fetch("SELECT to_regnamespace('airq')") == [(None,)]


# On a server with passwords.


@dataclass(frozen=True)
class Owner:
    """An owner of a database of its own, which is no superuser."""

    tcp: Network
    name: str
    database: str

    def url(self, role: str | None = None, password: str = "pw", **options: Any) -> str:
        return self.tcp.url(role or self.name, password, self.database, **options)

    def migrate(self, loader: str | None = None, reader: str | None = None) -> Migration:
        loads_as, reads_as = (Role.of(url) if url else None for url in (loader, reader))
        return asyncio.run(migrate(self.url(), loads_as, reads_as))


@pytest.fixture
def make_owner(tcp: Network) -> Callable[..., Owner]:
    def make(attributes: str = "") -> Owner:
        name = f"owner_{next(_numbers)}"
        tcp.execute(
            f"CREATE ROLE {name} LOGIN PASSWORD 'pw' {attributes}", f"CREATE DATABASE of_{name} OWNER {name}"
        )
        return Owner(tcp, name, f"of_{name}")

    return make


def can_log_in(url: str) -> bool:
    async def log_in() -> bool:
        async with connected(url, "test") as connection:
            return bool(await connection.fetchval("SELECT true"))

    try:
        return asyncio.run(log_in())
    except DatabaseUnavailable as error:
        assert "password authentication failed" in str(error)
        return False


def test_changing_a_password_is_a_migration_with_the_new_url(make_owner: Callable[..., Owner]) -> None:
    owner = make_owner("CREATEROLE")
    loader, reader = f"loader_{owner.name}", f"reader_{owner.name}"
    done = owner.migrate(owner.url(loader, "old"), owner.url(reader, "also old"))
    assert done.notices == [f"made role {loader}", f"made role {reader}"]
    assert can_log_in(owner.url(loader, "old"))
    assert can_log_in(owner.url(reader, "also old"))
    assert owner.migrate(owner.url(loader, "new"), owner.url(reader, "also old")).notices == []
    assert can_log_in(owner.url(loader, "new"))
    assert not can_log_in(owner.url(loader, "old"))
    assert can_log_in(owner.url(reader, "also old"))


@pytest.mark.parametrize(
    "password", ["p@ss:/?#[]% word", "it's \\ \"quoted\"", "пароль-ä", "a\u0308\u00a0Ⅷ\u00ad™", "x" * 300],
    ids=["url", "quotes", "letters", "compatibility", "long"],
)  # fmt: skip
def test_any_password_that_a_url_can_hold_works(make_owner: Callable[..., Owner], password: str) -> None:
    owner = make_owner("CREATEROLE")
    url = owner.url(f"loader_{owner.name}", password)
    owner.migrate(url)
    assert can_log_in(url)
    assert not can_log_in(owner.url(f"loader_{owner.name}", password + "."))


def test_an_owner_without_createrole_is_told_how_to_make_the_roles(
    make_owner: Callable[..., Owner], tcp: Network
) -> None:
    owner = make_owner()
    loader = f"loader_{owner.name}"
    with pytest.raises(MigrationFailed) as caught:
        owner.migrate(owner.url(loader))
    assert str(caught.value) == (
        f"role {loader} does not exist and {owner.name} may not make roles; make it by hand "
        f"(CREATE ROLE {loader} LOGIN PASSWORD '…') or give {owner.name} CREATEROLE"
    )
    tcp.execute(f"CREATE ROLE {loader} LOGIN PASSWORD 'by hand'")
    done = owner.migrate(owner.url(loader, "by url"))
    assert done.now == NEWEST
    assert done.notices == [f"{owner.name} may not set the password of {loader}; left as it is"]
    assert can_log_in(owner.url(loader, "by hand"))


def test_an_owner_of_the_schema_alone_can_migrate_it(make_owner: Callable[..., Owner], tcp: Network) -> None:
    owner = make_owner()
    other = f"other_{owner.name}"
    tcp.execute(f"CREATE ROLE {other} LOGIN PASSWORD 'pw'")
    with pytest.raises(
        MigrationFailed, match=f"{other} may not do what the migration needs: permission denied"
    ):
        asyncio.run(migrate(owner.url(other), None, None))
    tcp.execute(f"CREATE SCHEMA airq AUTHORIZATION {other}", database=owner.database)
    for _ in range(2):
        assert asyncio.run(migrate(owner.url(other), None, None)).now == NEWEST


def test_a_migration_of_anothers_schema_is_refused_with_the_reason(
    make_owner: Callable[..., Owner], tcp: Network
) -> None:
    owner = make_owner()
    asyncio.run(migrate(owner.url("postgres", PASSWORD), None, None))
    with pytest.raises(MigrationFailed, match="AIRQ_DATABASE_URL must name the owner"):
        asyncio.run(migrate(owner.url(), None, Role("postgres", None)))


def test_three_urls_of_three_roles_are_all_that_a_load_needs(
    make_owner: Callable[..., Owner], airq: Airq, tmp_path: Path
) -> None:
    owner = make_owner("CREATEROLE")
    environment = {
        "AIRQ_DATABASE_URL": owner.url(),
        "AIRQ_LOADER_URL": owner.url(f"loader_{owner.name}", "one"),
        "AIRQ_READER_URL": owner.url(f"reader_{owner.name}", "two"),
    }
    path = tmp_path / "a.csv"
    path.write_text(f"{HEADER}\n2016-10-01 00:00:00,a,1,2,3,4,5,6\n")
    assert airq("migrate", environment=environment).status == 0
    # Behind that, who loads need not know the owner's password, nor who reads the loader's.
    loader = {"AIRQ_LOADER_URL": environment["AIRQ_LOADER_URL"]}
    assert airq("load", path, environment=loader).status == 0
    assert "loaded" in airq("loads", environment=loader).out
    reader = {"AIRQ_READER_URL": environment["AIRQ_READER_URL"]}
    assert "2016-10" in airq("verify", environment=reader).out


# TLS.


def faults(url: str) -> str:
    with pytest.raises(AirqError) as caught:
        asyncio.run(migrate(url, None, None))
    return str(caught.value)


@pytest.mark.parametrize("options", [{}, {"sslmode": "prefer"}, {"sslmode": "require"}], ids=str)
def test_a_server_that_demands_tls_gets_it(tcp: Network, options: dict[str, str]) -> None:
    assert can_log_in(tcp.url("postgres", PASSWORD, tls=True, **options))


@pytest.mark.parametrize("mode", ["verify-ca", "verify-full"])
def test_a_certificate_of_the_right_authority_is_accepted_and_no_other(tcp: Network, mode: str) -> None:
    def url(authority: Path, host: str = "localhost") -> str:
        given = tcp.url("postgres", PASSWORD, tls=True, sslmode=mode, sslrootcert=authority)
        return given.replace("@localhost:", f"@{host}:")

    assert can_log_in(url(tcp.authority))
    told = faults(url(tcp.stranger))
    assert told.startswith(f"the database postgres@localhost:{tcp.tls_port}/postgres can't be reached: ")
    assert "certificate verify failed" in told
    if mode == "verify-full":
        assert "certificate is not valid for '127.0.0.1'" in faults(url(tcp.authority, "127.0.0.1"))
    else:
        assert can_log_in(url(tcp.authority, "127.0.0.1"))


def test_tls_mistakes_are_told(tcp: Network) -> None:
    without = faults(tcp.url("postgres", PASSWORD, sslmode="require"))
    assert "rejected SSL upgrade" in without
    nowhere = faults(
        tcp.url("postgres", PASSWORD, tls=True, sslmode="verify-full", sslrootcert="/no/such.pem")
    )
    assert nowhere.endswith("can't be reached: No such file or directory: /no/such.pem")
    unknown = faults(tcp.url("postgres", PASSWORD, sslmode="yes"))
    assert "`sslmode` parameter must be one of" in unknown


def test_a_wrong_password_is_told_without_any_password(airq: Airq, tcp: Network) -> None:
    done: Finished = airq("migrate", environment={"AIRQ_DATABASE_URL": tcp.url("postgres", "guessed")})
    assert done.status == 1
    assert done.err == (
        f"airq: error: the database postgres@localhost:{tcp.port}/postgres can't be reached: "
        'password authentication failed for user "postgres"\n'
    )
