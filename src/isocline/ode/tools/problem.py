"""A user's problem with its numbers in the open: what a gradient is taken in, and their names."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from ...errors import InputError
from ..arguments import count_lanes, read_args, read_array, read_state
from ..complex_state import pairs_of
from ..field import _TwoArguments, three_arguments
from ..ragged import There, filled, without_missing
from ..solution import Solution
from ..solve import solve
from .opening import opened

# Of a tool's own options of `solve`, it says itself how failures are told.
_OURS = ("on_failure", "_extra")


class Inputs(NamedTuple):
    """All that the solution depends on; the names are those of the tables.

    Attributes:
        f: the field, with all arrays that it closes over or holds as leaves.
    """

    y0: PyTree
    args: PyTree
    f: Any
    ts: Float[Array, "*batch times"]


class Problem(NamedTuple):
    """What to solve, and the number that is made of the solution.

    Attributes:
        inputs: see there.
        loss: from the values at `ts` to one number.
        options: keyword arguments of `solve`.
        lanes: independent trajectories, or None.
        axes: for each array in args, 0 if it has one entry a trajectory.
        there: which save times there are, where some are masked; those that there are not have
            been filled up.
    """

    inputs: Inputs
    loss: Callable[[PyTree], Float[Array, ""]]
    options: dict[str, Any]
    lanes: int | None
    axes: tuple[int | None, ...]
    there: There | None = None

    def solve(self, inputs: Inputs, **options: Any) -> Solution:
        """Solve for these inputs; options here win over the problem's own."""
        options = self.options | {"on_failure": "return"} | options
        if options.get("grid") is not None:
            for name in ("steps", "dt0"):
                options.pop(name, None)
        return solve(inputs.f, inputs.y0, inputs.ts, inputs.args, **options)

    def value(self, inputs: Inputs, **options: Any) -> tuple[Float[Array, ""], Solution]:
        """The loss, and the solution behind it."""
        solution = self.solve(inputs, **options)
        return self.lost(solution.ys), solution

    def seen(self, ys: PyTree) -> PyTree:
        """Values at the save times as the loss gets them: NaN where there is no save time."""
        if self.there is None:
            return ys
        return without_missing(ys, self.there, self.lanes is not None)

    def lost(self, ys: PyTree) -> Float[Array, ""]:
        """The loss of values at the save times."""
        return self.loss(self.seen(ys))

    def in_double(self) -> Problem:
        """The same problem in float64, as far as its numbers are in reach; needs `enable_x64`."""
        return self._replace(inputs=Inputs(*map(_to_double, self.inputs)))

    def lane(self, index: int) -> Problem:
        """One trajectory of an independent batch, as a problem of its own."""
        if self.lanes is None:
            return self
        leaves, treedef = jax.tree.flatten(eqx.filter(self.inputs.args, eqx.is_array))
        own = [leaf if axis is None else leaf[index] for leaf, axis in zip(leaves, self.axes)]
        rest = eqx.filter(self.inputs.args, eqx.is_array, inverse=True)
        args = eqx.combine(jax.tree.unflatten(treedef, own), rest)
        ts, y0 = self.inputs.ts, jax.tree.map(lambda leaf: leaf[index], self.inputs.y0)
        options = {
            name: value[index] if jnp.ndim(value) > (name == "grid") else value
            for name, value in self.options.items()
            if name not in ("batch", "args_axes")
            and (name in ("rtol", "atol", "t0", "dt0", "grid") or value is not None)
        }
        inputs = self.inputs._replace(y0=y0, args=args, ts=ts[index] if ts.ndim == 2 else ts)
        there = _row_of(self.there, index)
        return self._replace(inputs=inputs, options=options, lanes=None, axes=(), there=there)


def _row_of(there: There | None, index: int) -> There | None:
    """Which save times one trajectory has."""
    return there if there is None or there.ndim < 2 else there[index]


def read_problem(
    f: Callable, y0: Any, ts: Any, args: Any, loss: Callable | None, options: Mapping[str, Any]
) -> Problem:
    """Check what a tool was given, and set all its arrays apart.

    Raises:
        InputError: an argument does not fit; the message names it.
    """
    if not callable(f):
        raise InputError(f"f={f!r} must be a function f(t, y, args) or f(t, y).")
    if wrong := [name for name in _OURS if name in options]:
        raise InputError(f"{wrong[0]}= is for the tool itself to choose; leave it out.")
    if pairs_of(y0) is not None:
        raise InputError(
            "y0 is complex, which the tools do not take apart: pass real and imaginary part as a "
            "pair, and a field of such pairs."
        )
    y0, dtype = read_state(y0)
    lanes = count_lanes(y0, options.get("batch") == "independent")
    args, axes, _ = read_args(args, options.get("args_axes"), lanes)
    ts, there = filled(ts)
    ts = read_array("ts", ts)
    if ts is None or ts.ndim not in (1, 2) or not ts.size:
        raise InputError("ts must be an array of save times, (times,) or (batch, times).")
    f = _open_field(f)
    if lanes is None:
        args = _with_arrays(f, jnp.asarray(ts.ravel()[0], dtype), y0, args)
        args, axes, _ = read_args(args, None, None)
    inputs = Inputs(y0, args, f, jnp.asarray(ts, dtype))
    loss = _checked(random_loss if loss is None else loss)
    return Problem(inputs, loss, dict(options), lanes, axes, there)


def random_loss(ys: PyTree) -> Float[Array, ""]:
    """A sum of all values with random weights: it leaves no component out.

    But those that there are not: after an event that has ended the solve, or at masked times.
    """
    leaves = jax.tree.leaves(ys)
    keys = jax.random.split(jax.random.key(0), len(leaves))
    weights = [jax.random.normal(key, leaf.shape, jnp.float32) for key, leaf in zip(keys, leaves)]
    there = [jnp.where(jnp.isnan(leaf), 0, leaf) for leaf in leaves]
    return sum((jnp.sum(weight * leaf) for weight, leaf in zip(weights, there)), jnp.zeros(()))


def path_name(path: Any) -> str:
    """A path in a tree, as one writes it in Python."""
    return jax.tree_util.keystr(path)


def _open_field(f: Callable) -> Callable:
    """The field as `f(t, y, args)`, with its arrays as leaves."""
    f = three_arguments(f)
    if isinstance(f, _TwoArguments):
        return _TwoArguments(opened(f.f))
    return opened(f)


def _with_arrays(f: Callable, t: Array, y: Any, args: Any) -> Any:
    """args with arrays for plain numbers, so that they have a gradient, if f can do with that."""

    def convert(leaf: Any) -> Any:
        return jnp.asarray(leaf, t.dtype) if isinstance(leaf, float) else leaf

    converted = jax.tree.map(convert, args)
    try:
        eqx.filter_eval_shape(f, t, y, converted)
    except jax.errors.ConcretizationTypeError:
        return args
    return converted


def _to_double(tree: Any) -> Any:
    def cast(leaf: Any) -> Any:
        return jnp.asarray(leaf, jnp.float64) if eqx.is_inexact_array(leaf) else leaf

    return jax.tree.map(cast, tree)


def _checked(loss: Callable) -> Callable:
    """The loss, with words for one that gives no single number."""

    def checked(ys: PyTree) -> Float[Array, ""]:
        value = loss(ys)
        if not hasattr(value, "shape") or value.shape != ():
            got = getattr(value, "shape", type(value).__name__)
            raise InputError(f"loss must make one number of the values at ts; got {got}.")
        return value

    return checked
