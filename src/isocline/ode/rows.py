"""States as rows of real numbers, lanes last."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float


class Rows(NamedTuple):
    """A state as rows, lanes last.

    Attributes:
        ravel, unravel: from the user's structure to one row, and back.
    """

    rows: Float[Array, "size *lanes"]
    ravel: Callable[[Any], Float[Array, " size"]]
    unravel: Callable[[Float[Array, " size"]], Any]


def as_rows(y0: Any, batched: bool) -> Rows:
    """Ravel a pytree of arrays, with a leading lane axis on every leaf if `batched`."""

    def ravel(y: Any) -> Float[Array, " size"]:
        return ravel_pytree(y)[0]

    if not batched:
        row, unravel = ravel_pytree(y0)
        return Rows(row, ravel, unravel)
    _, unravel = ravel_pytree(jax.tree.map(lambda leaf: leaf[0], y0))
    return Rows(jax.vmap(ravel, out_axes=-1)(y0), ravel, unravel)
