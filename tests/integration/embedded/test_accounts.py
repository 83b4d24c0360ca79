"""Which account runs PostgreSQL, and which programs it can reach."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from airq import embedded
from tests.conftest import FOR_GOOD
from tests.integration.embedded.processes import (
    IS_ROOT,
    NOBODY,
    WHEEL,
    answer,
    is_alive,
    leave,
    query,
    refusal,
    user,
)

needs_root = pytest.mark.skipif(not IS_ROOT, reason=f"{FOR_GOOD}only root can test what happens to root")


def copy_wheel(packages: Path) -> None:
    assert WHEEL
    assert WHEEL.origin
    installed = Path(WHEEL.origin).parent
    for part in (installed, installed.with_name(f"{installed.name}.libs")):
        if part.exists():
            shutil.copytree(part, packages / part.name)


def runs_for_nobody(python: str) -> bool:
    code = "import sys; sys.exit(sys.version_info < (3, 11))"
    try:
        return not subprocess.run(
            [python, "-c", code],
            check=False,
            cwd="/",
            user="nobody",
            group=NOBODY.pw_gid,
            extra_groups=[],
        ).returncode
    except OSError:
        return False


@needs_root
def test_root_runs_it_where_only_root_may_enter_the_wheels_directory(place: Path, programs: Path) -> None:
    packages = place / "private"
    packages.mkdir(mode=0o700)
    copy_wheel(packages)
    copies = []
    for _ in range(2):
        with user(place / "data", programs, packages=packages) as process:
            found = answer(process)
            copies.append(Path(found["binaries"], "postgres").stat().st_ino)
            assert Path(found["binaries"]).is_relative_to(programs)
            assert query(found["url"], "SELECT 1") == 1
            leave(process)
    assert copies[0] == copies[1]
    assert packages.stat().st_mode & 0o777 == 0o700


@needs_root
def test_programs_whose_copying_was_broken_off_are_copied_anew(place: Path, programs: Path) -> None:
    packages = place / "private"
    packages.mkdir(mode=0o700)
    copy_wheel(packages)
    left = programs / "programs.new" / embedded.PACKAGE / "pginstall" / "bin" / "postgres"
    left.parent.mkdir(parents=True)
    left.write_bytes(b"half of it")
    programs.chmod(0o755)
    with user(place / "data", programs, packages=packages) as process:
        found = answer(process)
        assert Path(found["binaries"]).is_relative_to(programs)
        assert query(found["url"], "SELECT 1") == 1
        leave(process)
    assert not (programs / "programs.new").exists()


@needs_root
def test_root_is_told_which_directory_keeps_the_servers_account_out(place: Path, programs: Path) -> None:
    (place / "private").mkdir(mode=0o700)
    assert f"may not enter {place}/private and" in refusal(place / "private" / "data", programs)
    assert (place / "private").stat().st_mode & 0o777 == 0o700


@needs_root
def test_an_ordinary_user_keeps_the_data_in_the_home_directory(place: Path, programs: Path) -> None:
    home, packages = place / "home", place / "packages"
    home.mkdir()
    os.chown(home, NOBODY.pw_uid, NOBODY.pw_gid)
    copy_wheel(packages)
    shutil.copytree(Path(embedded.__file__).parents[1], packages / "airq")
    python = next(filter(runs_for_nobody, (sys.executable, "/usr/bin/python3")), None)
    if python is None:
        pytest.skip("ordinary users may run no Python >= 3.11 here")
    with user(
        "",
        programs,
        python=python,
        packages=packages,
        environment={"HOME": str(home)},
        account="nobody",
    ) as process:
        found = answer(process)
        assert found["data_directory"] == str(home / ".local" / "share" / "airq" / "sample")
        assert query(found["url"], "SELECT 1") == 1
        leave(process)
    assert not is_alive(home / ".local" / "share" / "airq" / "sample")
    assert not programs.exists()
