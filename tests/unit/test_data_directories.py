"""Where the embedded PostgreSQL keeps its data if nobody says where."""

import os
from pathlib import Path

import pytest

from airq import embedded
from airq.domain.errors import ConfigurationError


def test_each_source_has_a_directory_of_its_own_that_stays_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    sources = [
        None,
        "sample.csv",
        "sample/sample.csv",
        "/data/Année 1.csv.gz",
        "/data/Année 2.csv.gz",
        "https://example.org/air.csv?year=2023",
        "https://example.org/air.csv?year=2024",
        "https://example.org/",
    ]
    directories = [embedded.default_data_directory(source) for source in sources]
    assert len(set(directories)) == len(sources)
    assert {directory.parent for directory in directories} == {embedded.default_root()}
    assert directories[0].name == "sample"
    assert directories[3].name.startswith("ann-e-1-")
    assert directories[5].name.startswith("air-")
    assert embedded.default_data_directory(f"{tmp_path}/x/../sample.csv") == directories[1]


def test_an_ordinary_users_data_are_in_the_users_data_directory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setenv("XDG_DATA_HOME", "/somewhere")
    assert embedded.default_root() == Path("/somewhere/airq")
    monkeypatch.setenv("XDG_DATA_HOME", "relative/is/ignored")
    assert embedded.default_root() == Path.home() / ".local" / "share" / "airq"
    monkeypatch.delenv("XDG_DATA_HOME")
    assert embedded.default_root() == Path.home() / ".local" / "share" / "airq"


def test_roots_data_are_in_the_systems_directory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setenv("XDG_DATA_HOME", "/somewhere")
    assert embedded.default_root() == Path("/var/lib/airq")


def test_a_user_without_a_home_directory_is_told_how_to_name_one(monkeypatch: pytest.MonkeyPatch) -> None:
    def nowhere() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(os, "geteuid", lambda: 4711)
    monkeypatch.setattr(Path, "home", nowhere)
    monkeypatch.delenv("XDG_DATA_HOME", raising=False)
    with pytest.raises(ConfigurationError, match=r"user 4711 .* --data-directory or AIRQ_DATA_DIRECTORY"):
        embedded.default_data_directory(None)
