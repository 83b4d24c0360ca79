"""Look-alikes of base images stay out of every engine but the tests' own."""

from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.containers.lookalikes import bases
from tests.containers.lookalikes.debian import CantMake

UPSTREAM, LOOK_ALIKE = "null", f'{{"{bases.LABEL}":"0123abc"}}'


@dataclass
class Registry:
    """Stands in for `docker`: images by their labels, and those that can be pulled."""

    images: dict[str, str]
    pullable: tuple[str, ...] = ()
    ran: list[str] = field(default_factory=list)

    def __call__(self, *arguments: str | Path, check: bool = True, timeout_seconds: float = 600) -> str:
        command, name = str(arguments[0]), str(arguments[-1])
        self.ran.append(command)
        if command == "pull" and name in self.pullable:
            self.images[name] = UPSTREAM
        return self.images.get(name, "") if command == "image" else ""


@pytest.mark.parametrize("images", [{}, {bases.DEBIAN: LOOK_ALIKE, bases.POSTGRES: LOOK_ALIKE}], ids=len)
@pytest.mark.parametrize("pullable", [(), (bases.DEBIAN,)], ids=len)
def test_a_users_engine_gets_no_look_alike(
    tmp_path: Path, images: dict[str, str], pullable: tuple[str, ...]
) -> None:
    docker = Registry(dict(images), pullable)
    with pytest.raises(CantMake, match=f"docker pull {bases.POSTGRES if pullable else bases.DEBIAN} failed"):
        bases.ensure(docker, tmp_path, may_make=False)
    assert set(docker.ran) == {"image", "pull"}


def test_a_users_engine_pulls_what_it_lacks_and_what_a_look_alike_stands_for(tmp_path: Path) -> None:
    docker = Registry({bases.POSTGRES: LOOK_ALIKE}, (bases.DEBIAN, bases.POSTGRES))
    said = bases.ensure(docker, tmp_path, may_make=False)
    assert said == {bases.DEBIAN: "upstream", bases.POSTGRES: "upstream"}
    assert docker.images == {bases.DEBIAN: UPSTREAM, bases.POSTGRES: UPSTREAM}


def test_what_is_upstreams_already_is_not_pulled_again(tmp_path: Path) -> None:
    docker = Registry({bases.DEBIAN: UPSTREAM, bases.POSTGRES: UPSTREAM})
    bases.ensure(docker, tmp_path, may_make=False)
    assert set(docker.ran) == {"image"}
