"""A function with the arrays that it closes over as leaves of a tree: to name, move and cast them.

JAX writes concrete arrays that a function closes over into its program as constants, where nothing
can be differentiated in them. Python knows them by name, and can call the function with others.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Iterator
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

# Their functions close over nothing of the user's.
_LIBRARIES = {"jax", "jaxlib", "equinox", "numpy", "scipy", "optax", "diffrax", "isocline"}


class Opened(eqx.Module):
    """A Python function, and the values of the variables of its surroundings that hold arrays.

    Attributes:
        function: as it was written.
        cells, globals: values of variables of enclosing functions, and of its module.
    """

    function: types.FunctionType = eqx.field(static=True)
    cells: dict[str, Any]
    globals: dict[str, Any]

    def __call__(self, *args: Any, **options: Any) -> Any:
        old: Any = self.function
        cells = tuple(
            types.CellType(self.cells[name]) if name in self.cells else cell
            for name, cell in zip(old.__code__.co_freevars, old.__closure__ or (), strict=True)
        )
        new: Any = types.FunctionType(
            old.__code__,
            {**old.__globals__, **self.globals} if self.globals else old.__globals__,
            old.__name__,
            old.__defaults__,
            cells,
        )
        new.__kwdefaults__ = old.__kwdefaults__
        return new(*args, **options)


def opened(f: Callable, depth: int = 4) -> Any:
    """The function with its arrays as leaves; itself if it has none, or is no Python function.

    Args:
        depth: so deep, functions that it calls are opened as well.
    """
    if not isinstance(f, types.FunctionType) or _root(f) in _LIBRARIES or not depth:
        return f
    cells = dict(zip(f.__code__.co_freevars, f.__closure__ or ()))
    filled = {name: _content(cell) for name, cell in cells.items()}
    used = {name: f.__globals__[name] for name in _names(f.__code__) if name in f.__globals__}
    cells, variables = (_with_arrays(space, f, depth) for space in (filled, used))
    return Opened(f, cells, variables) if cells or variables else f


def array_names(f: Any) -> list[str]:
    """The names of a field's arrays that have a gradient, in the order of its leaves."""
    return [
        _called(path)
        for path, leaf in jax.tree_util.tree_leaves_with_path(f)
        if eqx.is_inexact_array(leaf)
    ]


def _called(path: Any) -> str:
    """`.cells['model'].layers[0]` is `model.layers[0]` to the user; a module's own are `f. ...`."""
    # The wrapper of a field of two arguments is not the user's.
    keys = path[1:] if len(path) > 1 and _is_space(path[1]) and not _is_space(path[0]) else path
    words = "" if keys and _is_space(keys[0]) else "f"
    for before, key in zip([None, *keys], keys):
        if _is_space(before):
            words += f".{key.key}"
        elif not _is_space(key):
            words += jax.tree_util.keystr((key,))
    return words.removeprefix(".")


def _is_space(key: Any) -> bool:
    return getattr(key, "name", None) in ("cells", "globals")


def _with_arrays(space: dict[str, Any], f: Callable, depth: int) -> dict[str, Any]:
    """The variables that hold arrays, functions that close over arrays among them."""
    found = {}
    for name, value in space.items():
        if value is f or isinstance(value, types.ModuleType):
            continue
        value = opened(value, depth - 1) if isinstance(value, types.FunctionType) else value
        if any(map(_is_array, jax.tree.leaves(value))):
            found[name] = jax.tree.map(
                lambda leaf: jnp.asarray(leaf) if isinstance(leaf, np.ndarray) else leaf, value
            )
    return found


def _is_array(leaf: Any) -> bool:
    is_array = isinstance(leaf, (jax.Array, np.ndarray))
    return is_array and jnp.issubdtype(leaf.dtype, jnp.inexact)


def _names(code: types.CodeType) -> Iterator[str]:
    """Names that a function, and the functions written inside it, look up."""
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _names(constant)


def _content(cell: types.CellType) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # a variable that has no value yet
        return None


def _root(f: Callable) -> str:
    return (getattr(f, "__module__", None) or "").split(".")[0]
