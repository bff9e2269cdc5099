"""Domains: states that a solve must not leave, as concentrations stay positive.

A step is rejected, and half of it is tried, where its new state lies outside, or a value to be
saved on the way there. So a field that is only defined inside (a logarithm, a root) is not followed
across the border by a step that was too long; a solution that truly crosses it ends there with
`Status.LEFT_DOMAIN`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, PyTree

from ..errors import InputError
from . import observe
from .arguments import is_traced
from .complex_state import Pairs, Seen
from .field import Bound, three_arguments
from .step import Start, Step
from .tableaus import Method

INSIDE = "inside"  # the name of this function beside the field


class Between(eqx.Module):
    """Whether all components lie between bounds, each a pytree like the state; None is no bound."""

    low: PyTree[Array] | None
    high: PyTree[Array] | None
    strictly: bool = eqx.field(static=True)

    def __call__(self, t: Any, y: Any, args: Any) -> Bool[Array, ""]:
        """The bounds themselves are inside, unless it is `strictly`."""
        inside = jnp.asarray(True)
        if self.low is not None:
            above = jnp.greater if self.strictly else jnp.greater_equal
            inside &= _all(jax.tree.map(above, y, self.low))
        if self.high is not None:
            inside &= _all(jax.tree.map(jnp.less_equal, y, self.high))
        return inside


class Asked(eqx.Module):
    """Whether the user's function says that a state is inside."""

    f: Callable

    def __call__(self, t: Any, y: Any, args: Any) -> Bool[Array, ""]:
        """One boolean."""
        inside = jnp.asarray(self.f(t, y, args))
        if inside.shape != () or inside.dtype != jnp.bool_:
            raise InputError(
                "domain= must be a function that returns one boolean, whether the state is "
                f"allowed; it returned shape {inside.shape} of {inside.dtype}."
            )
        return inside


def read_domain(domain: Any, y0: Any, pairs: Pairs | None) -> Callable | None:
    """The domain as a function of (t, y, args) that says whether a state is inside.

    Args:
        y0: the initial state.
        pairs: of the state, if it is complex.

    Raises:
        InputError: it is no domain; or the initial state is outside of it.
    """
    if domain is None:
        return None
    if callable(domain):
        f = three_arguments(domain)
        return Asked(f if pairs is None else Seen(f, pairs))
    if pairs is not None:
        raise InputError("the domain of a complex state must be a function (t, y, args) -> bool.")
    inside = _between(domain, y0)
    if not is_traced((y0, inside)) and not bool(inside(None, y0, None)):
        hint = ""
        if inside.strictly and bool(replace(inside, strictly=False)(None, y0, None)):
            hint = " Zero is not positive: domain=(0, None) allows it."
        raise InputError(f"y0={y0!r} lies outside of domain={domain!r}.{hint}")
    return inside


def _between(domain: Any, y0: Any) -> Between:
    """The domain between bounds."""
    if isinstance(domain, str) and domain == "positive":
        return Between(_like(0.0, y0), None, strictly=True)
    if isinstance(domain, tuple) and len(domain) == 2:
        return Between(*(_like(bound, y0) for bound in domain), strictly=False)
    raise InputError(
        f"domain={domain!r} must be 'positive', a pair (low, high), each a number, None or shaped "
        "like y0, or a function (t, y, args) -> bool."
    )


def _like(bound: Any, y0: Any) -> Any:
    """A bound for each leaf of the state, from one for all or from a tree of them."""
    if bound is None:
        return None
    if isinstance(bound, (int, float, np.generic)):
        return jax.tree.map(lambda leaf: jnp.asarray(bound, leaf.dtype), y0)
    try:
        spread = jax.tree.map(lambda leaf, own: jnp.asarray(own, leaf.dtype), y0, bound)
        for leaf, own in zip(jax.tree.leaves(y0), jax.tree.leaves(spread), strict=True):
            jnp.broadcast_shapes(leaf.shape, own.shape)
    except (ValueError, TypeError) as error:
        raise InputError(f"a bound of domain= must be shaped like y0: {error}") from error
    return spread


def _all(tree: PyTree[Array]) -> Bool[Array, ""]:
    return jnp.all(jnp.stack([jnp.all(leaf) for leaf in jax.tree.leaves(tree)]))


def outside(
    bound: Bound,
    start: Start,
    step: tuple[Float[Array, "*lanes"], Step],
    bad: Bool[Array, "*lanes"],
) -> Bool[Array, "*lanes"]:
    """Whether a step left the domain; if it is not finite, whether its first slope leads outside.

    Args:
        step: its size, and what it computed.
        bad: where that is not finite.
    """
    h, made = step
    point = jnp.where(bad, start.y + h * start.f, made.y)
    params, point = jax.lax.stop_gradient((bound.params, point))
    return ~bound.field.ask(INSIDE, start.t + h, point, params)


def saves_outside(
    method: Method,
    bound: Bound,
    saves: tuple[Float[Array, "times *lanes"], Int[Array, "*lanes"]],
    start: Start,
    step: tuple[Float[Array, "*lanes"], Float[Array, "*lanes"], Step, Bool[Array, "*lanes"]],
) -> Bool[Array, "*lanes"]:
    """Whether a value that would be saved in a step lies outside.

    Args:
        saves: the save times, and how many (of each lane) have passed.
        step: as in `observe.save`.
    """
    (ts, passed), (_, end, _, accepted) = saves, step
    if ts.shape[0] == 1:
        return jnp.zeros_like(accepted)
    params, ts, start, step = jax.lax.stop_gradient((bound.params, ts, start, step))

    def looking(state: tuple[Array, Array]) -> Bool[Array, "*lanes"]:
        count, left = state
        return observe.pending(ts, count, end, accepted) & ~left

    def look(state: tuple[Array, Array]) -> tuple[Array, Array]:
        (count, left), now = state, looking(state)
        t, y = observe.value_at(method, ts, count, start, (step, now))
        return count + now, left | (now & ~bound.field.ask(INSIDE, t, y, params))

    state = passed, jnp.zeros_like(accepted)
    return jax.lax.while_loop(lambda state: jnp.any(looking(state)), look, state)[1]
