"""What is in a traced program."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import jax


def operations(jaxpr: Any) -> Iterator[str]:
    """The names of all operations of a program and of the programs inside it, each once."""
    for eqn in jaxpr.eqns:
        yield str(eqn.primitive)
        for value in jax.tree.leaves(
            list(eqn.params.values()), is_leaf=lambda leaf: hasattr(leaf, "eqns")
        ):
            inner = getattr(value, "jaxpr", value)
            if hasattr(inner, "eqns"):
                yield from operations(inner)
