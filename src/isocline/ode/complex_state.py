"""Complex states as pairs of real numbers, which is all that the loop knows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree


class Pairs(NamedTuple):
    """Which leaves of a state are complex: as real ones they have one axis more, of two parts."""

    is_complex: tuple[bool, ...]

    def real(self, tree: PyTree) -> PyTree:
        """The tree with real and imaginary parts side by side."""
        leaves, treedef = jax.tree.flatten(tree)
        if len(leaves) != len(self.is_complex):
            return tree  # not the structure of the state, which the solve will say
        pairs = zip(leaves, self.is_complex, strict=True)
        real = [
            jnp.stack([jnp.real(leaf), jnp.imag(leaf)], axis=-1) if both else leaf
            for leaf, both in pairs
        ]
        return jax.tree.unflatten(treedef, real)

    def complex(self, tree: PyTree) -> PyTree:
        """The tree as the user knows it."""
        leaves, treedef = jax.tree.flatten(tree)
        pairs = zip(leaves, self.is_complex, strict=True)
        both = [jax.lax.complex(leaf[..., 0], leaf[..., 1]) if two else leaf for leaf, two in pairs]
        return jax.tree.unflatten(treedef, both)


class _Real(eqx.Module):
    """A field of complex states as one of real states."""

    f: Callable
    pairs: Pairs = eqx.field(static=True)

    def __call__(self, t: Any, y: Any, args: Any) -> Any:
        return self.pairs.real(self.f(t, self.pairs.complex(y), args))


def pairs_of(y0: PyTree) -> Pairs | None:
    """What is complex in a state; None if nothing is."""
    found = tuple(_is_complex(leaf) for leaf in jax.tree.leaves(y0))
    return Pairs(found) if any(found) else None


def _is_complex(leaf: Any) -> bool:
    dtype = leaf.dtype if hasattr(leaf, "dtype") else np.asarray(leaf).dtype
    return bool(jnp.issubdtype(dtype, np.complexfloating))


def real_parts(parts: Any, pairs: Pairs) -> Any:
    """A field, or a pair of them, on real states."""
    return _Real(parts, pairs) if callable(parts) else tuple(_Real(f, pairs) for f in parts)
