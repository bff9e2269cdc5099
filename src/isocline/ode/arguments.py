"""What `solve` was given, checked before anything is traced; every message names the argument."""

from __future__ import annotations

import warnings
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array

from ..errors import InputError
from .control import CONTROLLERS, Controller

# Below this many spacings of the dtype a smaller rtol buys steps, and no digit. Measured on three
# oscillators in float32: the error falls down to 2-5 spacings, and rejections grow below that.
FINEST = 4


def choice(name: str, value: Any, choices: tuple[str, ...]) -> str:
    """The value, if it is one of the choices."""
    if not isinstance(value, str) or value not in choices:
        raise InputError(f"{name}={value!r} is not known; choose one of: {', '.join(choices)}.")
    return value


def read_controller(controller: str | Controller) -> Controller:
    """The controller of a name, or the controller itself."""
    if isinstance(controller, Controller):
        return controller
    return CONTROLLERS[choice("controller", controller, tuple(CONTROLLERS))]


def read_count(name: str, value: Any) -> int:
    """A number of steps: an integer of at least one."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 1:
        raise InputError(f"{name}={value!r} must be an integer of at least 1.")
    return int(value)


def is_traced(value: Any) -> bool:
    """Whether some number in it is only known when the compiled program runs."""
    return any(isinstance(leaf, Tracer) for leaf in jax.tree.leaves(value))


def read_array(name: str, value: Any) -> Any:
    """A number, or nested lists of them, as one array: NumPy's, or JAX's if it was or is traced."""
    if value is None or isinstance(value, jax.Array):
        return value
    try:
        array = jnp.asarray(value) if is_traced(value) else np.asarray(value)
    except (TypeError, ValueError) as error:
        raise InputError(f"{name} must be a number or an array of numbers: {error}") from error
    if not is_real(array.dtype):
        raise InputError(f"{name}={value!r} must be a real number or an array of them.")
    return array


def known(value: Any) -> np.ndarray | None:
    """The value as a NumPy array, or None while it is being traced."""
    return None if is_traced(value) else np.asarray(value)


def is_real(dtype: Any) -> bool:
    """Whether the dtype is one of booleans, integers or real numbers (bfloat16 and its kin too)."""
    return any(jnp.issubdtype(dtype, kind) for kind in (np.bool_, np.integer, np.floating))


def read_state(y0: Any) -> tuple[Any, Any]:
    """The state as real floating arrays of one dtype: float64 if any leaf is, else float32."""
    leaves = jax.tree.leaves(y0)
    if not leaves:
        raise InputError("y0 holds no array.")
    dtypes = [leaf.dtype if hasattr(leaf, "dtype") else np.asarray(leaf).dtype for leaf in leaves]
    if not all(map(is_real, dtypes)):
        raise InputError(f"y0 must hold arrays of numbers only; got {y0!r}.")
    # By dtypes and not by values: those of a weakly typed array, as `jnp.full(2, 2.0)`, give way.
    arrays = [leaf.dtype for leaf in leaves if hasattr(leaf, "dtype")]
    dtype = jnp.result_type(*arrays, jnp.float32)
    return jax.tree.map(lambda leaf: jnp.asarray(leaf, dtype), y0), dtype


def count_lanes(y0: Any, batched: bool) -> int | None:
    """The number of independent trajectories in y0, or None where the batch is coupled."""
    if not batched:
        return None
    shapes = [jnp.shape(leaf) for leaf in jax.tree.leaves(y0)]
    if not all(shapes) or len({shape[0] for shape in shapes}) != 1 or shapes[0][0] == 0:
        raise InputError(
            "y0 must have one axis of trajectories, first in every leaf, for batch='independent'; "
            f"got {shapes}."
        )
    return shapes[0][0]


def check_lanes(lanes: int | None, arrays: dict[str, tuple[Any, int]]) -> None:
    """Whether what may have one entry a trajectory agrees with y0.

    Args:
        lanes: the number of independent trajectories, or None.
        arrays: for each argument its value, and how many axes it has without one of trajectories.
    """
    for name, (value, axes) in arrays.items():
        if value is None or value.ndim <= axes:
            continue
        if lanes is None:
            raise InputError(
                f"{name} has shape {value.shape}: one a trajectory needs batch='independent'."
            )
        if value.ndim != axes + 1 or value.shape[0] != lanes:
            raise InputError(f"{name} has shape {value.shape}, but y0 holds {lanes} trajectories.")


def read_tolerances(rtol: Any, atol: Any, dtype: Any) -> tuple[Array, Array]:
    """Both tolerances in the dtype of the state, the relative one raised to what that resolves."""
    seen = {"rtol": known(rtol), "atol": known(atol)}
    for name, value in seen.items():
        if value is not None and not (np.isfinite(value).all() and (value >= 0).all()):
            raise InputError(f"{name} must be finite and not negative; got {value}.")
    _check_some_tolerance(seen["rtol"], seen["atol"])
    finest = FINEST * float(jnp.finfo(dtype).eps)
    # Zero is no mistake: it leaves the error to atol. The floor holds there as well, unsaid.
    if seen["rtol"] is not None and ((seen["rtol"] > 0) & (seen["rtol"] < finest)).any():
        warnings.warn(
            f"rtol={seen['rtol'].min():.3g} is below what {jnp.dtype(dtype).name} resolves, and "
            f"was raised to {finest:.2g}: pass a larger rtol, or float64 arrays (jax.enable_x64).",
            stacklevel=3,
        )
    return jnp.maximum(jnp.asarray(rtol, dtype), finest), jnp.asarray(atol, dtype)


def _check_some_tolerance(rtol: np.ndarray | None, atol: np.ndarray | None) -> None:
    if rtol is not None and atol is not None and not np.all(rtol + atol > 0):
        raise InputError("rtol and atol must not both be zero.")


class Args(NamedTuple):
    """args, with JAX's arrays for NumPy's and for plain numbers that are not whole.

    Attributes:
        axes: for each array, 0 if it has one entry a trajectory.
        plain: of each array, whether it was a plain number, which has no gradient.
    """

    values: Any
    axes: tuple[int | None, ...]
    plain: tuple[bool, ...]


def read_args(args: Any, axes: Any, lanes: int | None) -> Args:
    """args with JAX's arrays for NumPy's, and for each array 0 if it has one entry a trajectory."""
    args = jax.tree.map(_to_jax, args)
    arrays = eqx.filter(args, eqx.is_array)
    found = _spread(axes, arrays)
    if not set(found) <= {None, 0}:
        raise InputError(f"args_axes={axes!r} must hold 0 or None only.")
    if 0 in found and lanes is None:
        raise InputError("args_axes: one entry of args a trajectory needs batch='independent'.")
    for axis, leaf in zip(found, jax.tree.leaves(arrays), strict=True):
        if axis == 0 and leaf.shape[:1] != (lanes,):
            raise InputError(
                f"args_axes gives an array of shape {leaf.shape} in args one entry a trajectory, "
                f"but y0 holds {lanes} trajectories."
            )
    return Args(args, tuple(found), (False,) * len(found))


def with_numbers(args: Args) -> Args:
    """args with arrays for plain numbers, weakly typed as they are: another one compiles nothing.

    Whole numbers stay, as they may be shapes.
    """
    leaves, tree = jax.tree.flatten(args.values)
    axes, values, new = iter(args.axes), [], []
    for leaf in leaves:
        number = type(leaf) in (float, complex)
        values.append(jnp.asarray(leaf) if number else leaf)
        if eqx.is_array(values[-1]):
            new.append((None if number else next(axes), number))
    return Args(tree.unflatten(values), tuple(a for a, _ in new), tuple(n for _, n in new))


def _to_jax(leaf: Any) -> Any:
    return jnp.asarray(leaf) if isinstance(leaf, np.ndarray) else leaf


def _spread(axes: Any, arrays: Any) -> list[Any]:
    """One axis for each array, from a prefix of their tree."""

    def over(axis: Any, tree: Any) -> Any:
        # Boxed, because JAX takes a bare None for an empty branch of the tree.
        return jax.tree.map(lambda _: _Axis(axis), tree)

    try:
        spread = jax.tree.map(over, axes, arrays, is_leaf=lambda leaf: leaf is None)
    except ValueError as error:
        raise InputError(f"args_axes={axes!r} must be a prefix of args: {error}") from error
    return [axis.value for axis in jax.tree.leaves(spread)]


class _Axis:
    """One entry of args_axes, opaque to `jax.tree`."""

    def __init__(self, value: Any):
        self.value = value
