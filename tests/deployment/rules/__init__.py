"""The project's own rules over rendered objects: each takes them and says what is wrong."""

from collections.abc import Callable

from tests.deployment.rendering import Manifests
from tests.deployment.rules import availability, identity, network, pods, references, sizes

Rule = Callable[[Manifests], list[str]]

RULES: dict[str, Rule] = {
    rule.__name__: rule
    for module in (references, pods, availability, sizes, identity, network)
    for rule in module.RULES
}
"""Rules that every overlay and combination keeps."""
