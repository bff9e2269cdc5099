"""Which operation of a function makes the first NaN or infinity, and in which line of whose file.

The function is traced, and its operations are carried out one by one.
"""

from __future__ import annotations

import linecache
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.core
import jax.numpy as jnp
import numpy as np
from jax.extend.core import DropVar, Jaxpr

# Operations with a derivative that is infinite or NaN somewhere, and what to do about it.
REMEDIES = {
    "sqrt": "the slope of a square root at 0 is infinite: use sqrt(x + small), or keep x away from "
    "0 by two `jnp.where`, one inside the root and one outside",
    "rsqrt": "1/sqrt(x) is infinite at 0: add something small to x",
    "log": "log needs positive numbers: use log(x + small), or log1p, or keep the logarithm itself "
    "in the state",
    "log1p": "log1p needs numbers above -1: clip what goes in",
    "div": "division by zero: add something small to the denominator, or replace it by 1 with "
    "`jnp.where` *before* dividing; a `where` after it does not stop NaN in the gradient",
    "pow": "x**p has no finite value or slope at 0 for p < 1, nor for x < 0 and a fractional p: "
    "use (x + small)**p, or integer powers",
    "integer_pow": "a negative power of 0 is infinite, and a high one overflows: keep x from 0, or "
    "scale it",
    "exp": "exp overflows float32 above 88: clip what goes in, or work with logarithms",
    "exp2": "exp2 overflows float32 above 128: clip what goes in",
    "atan2": "atan2(0, 0) has no slope: shift one of the arguments by something small",
    "acos": "arccos has no finite slope at -1 and 1: clip what goes in a little inside",
    "asin": "arcsin has no finite slope at -1 and 1: clip what goes in a little inside",
    "tan": "tan is infinite at odd multiples of pi/2",
    "mul": "a product overflowed, or zero met infinity: scale the state, or bound the field (tanh)",
}
NORM = (
    "the norm of a zero vector has no slope: use sqrt(sum(x**2) + small), or keep x from 0 by two "
    "`jnp.where`, one inside the norm and one outside"
)


Frame = tuple[str, int] | None


class Culprit(NamedTuple):
    """An operation, where the user wrote it, and how to mend it."""

    operation: str
    place: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.operation}{self.place}. Remedy: {self.remedy}."


def culprit_of(function: Callable, *inputs: Any, primal: Callable | None = None) -> Culprit | None:
    """The first operation with a NaN or an infinity among what it gives; None if there is none.

    Args:
        function: of arrays.
        primal: for a gradient, the function it is the gradient of: there the operations have the
            names that the user wrote.
    """
    closed = jax.make_jaxpr(function)(*inputs)
    found = _first_bad(closed.jaxpr, closed.consts, jax.tree.leaves(inputs), None)
    if found is None:
        return None
    name, frame = found
    names = [name]
    if primal is not None and frame is not None:
        traced = jax.make_jaxpr(primal)(*inputs)
        same = [name for name, place in _operations(traced.jaxpr, None) if place == frame]
        names = [name for name in same if name in REMEDIES] or names
    return Culprit(*_described(names, frame))


def _described(names: list[str], frame: Frame) -> tuple[str, str, str]:
    # The rarer the operation, the likelier it is the one at fault.
    common = ("mul", "integer_pow", "div")
    name = max(names, key=lambda name: common.index(name) if name in common else len(common))
    remedy = REMEDIES.get(name, "look at what goes into that operation")
    place = ""
    if frame is not None:
        text = linecache.getline(*frame).strip()
        place = f" in {Path(frame[0]).name}, line {frame[1]}" + (f": `{text}`" if text else "")
        remedy = NORM if "norm(" in text and name in ("sqrt", "div", "mul") else remedy
    return f"`{name}`", place, remedy


def user_frame(eqn: Any) -> Frame:
    """File and line where the user wrote an operation: the innermost outside of libraries."""
    trace = eqn.source_info.traceback
    ours = str(Path(__file__).parents[2])
    for frame in trace.frames if trace is not None else ():
        if not ("site-packages" in frame.file_name or frame.file_name.startswith(ours)):
            return frame.file_name, frame.line_num
    return None


def _inner(eqn: Any) -> Any:
    """The program that an operation only calls, if it is of that kind."""
    if str(eqn.primitive) in ("scan", "while", "cond"):
        return None
    found = next((eqn.params[name] for name in ("jaxpr", "call_jaxpr") if name in eqn.params), None)
    inner = getattr(found, "jaxpr", found)
    return found if inner is not None and len(inner.invars) == len(eqn.invars) else None


def _operations(jaxpr: Any, frame: Frame) -> Iterator[tuple[str, Frame]]:
    """All operations, those inside calls as well, with the place where the user wrote them."""
    for eqn in jaxpr.eqns:
        place, inner = user_frame(eqn) or frame, _inner(eqn)
        if inner is None:
            yield str(eqn.primitive), place
        else:
            yield from _operations(getattr(inner, "jaxpr", inner), place)


def _first_bad(jaxpr: Any, consts: Any, inputs: Any, frame: Frame) -> tuple[str, Frame] | None:
    """The first operation with a bad result, and where it was written, or None."""
    known = _values(jaxpr, consts, inputs)
    for eqn in jaxpr.eqns:
        if not any(is_bad(known[var]) for var in eqn.outvars if var in known):
            continue
        # What a function of JAX's own does, was written where it was called.
        place, inner = user_frame(eqn) or frame, _inner(eqn)
        if inner is not None:
            values = [var.val if hasattr(var, "val") else known[var] for var in eqn.invars]
            body, held = getattr(inner, "jaxpr", inner), getattr(inner, "consts", ())
            if (found := _first_bad(body, held, values, place)) is not None:
                return found
        return str(eqn.primitive), place
    return None


def _values(jaxpr: Any, consts: Any, inputs: Any) -> dict[Any, Any]:
    """All that a program computes on the way."""
    made = [var for eqn in jaxpr.eqns for var in eqn.outvars if not isinstance(var, DropVar)]
    names = jaxpr.debug_info._replace(result_paths=None)
    whole = Jaxpr(jaxpr.constvars, jaxpr.invars, made, jaxpr.eqns, jaxpr.effects, names)
    known = dict(zip([*jaxpr.constvars, *jaxpr.invars], [*consts, *inputs]))
    return known | dict(zip(made, jax.core.eval_jaxpr(whole, consts, *inputs)))


def is_bad(value: Any) -> bool:
    """Whether some number in an array is NaN or infinite."""
    value = jnp.asarray(value)
    if not jnp.issubdtype(value.dtype, jnp.inexact):
        return False
    return not bool(np.isfinite(np.asarray(value, np.float64)).all())
