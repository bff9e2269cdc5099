"""Varying manual axes: what a loop must say of its carries to run inside `jax.shard_map`.

Inside `shard_map` every value is typed by the mesh axes along which it differs between devices. A
while loop wants its carries typed alike on the way in and on the way out, and a parameter that all
devices share gets its one all-reduce where it is cast to "varying", not inside the loop, where each
device takes its own number of steps.
"""

from __future__ import annotations

from typing import Any

import jax


def varying_axes(tree: Any) -> frozenset[str]:
    """All mesh axes along which some leaf of the tree differs between devices."""
    return frozenset().union(*(_axes(leaf) for leaf in jax.tree.leaves(tree)))


def vary(tree: Any, axes: frozenset[str]) -> Any:
    """The tree with every array typed as varying along these axes; a no-op outside `shard_map`."""
    return jax.tree.map(lambda leaf: _vary(leaf, axes), tree) if axes else tree


def _axes(leaf: Any) -> frozenset[str]:
    """JAX 0.10.2 moved the axes from `vma` to `manual_axis_type.varying`."""
    aval = jax.typeof(leaf)
    held = getattr(aval, "manual_axis_type", None)
    return frozenset(held.varying if held is not None else getattr(aval, "vma", frozenset()))


def _vary(leaf: Any, axes: frozenset[str]) -> Any:
    missing = tuple(sorted(axes - _axes(leaf)))
    return jax.lax.pcast(leaf, missing, to="varying") if missing else leaf
