"""A solver that stands ready for one problem: what every library must offer to be measured."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np

from .problems import Problem

WHATS = ("forward", "gradient")


class Contestant(Protocol):
    """A library's solver, bound to a problem.

    Attributes:
        facts: what is known beside the times: steps, evaluations, bytes, the first call.
    """

    facts: dict[str, Any]

    def end_state(self, tolerance: float) -> np.ndarray:
        """The final state at a tolerance, NaN if the solve fails. Speed does not matter."""
        ...

    def turn_to(self, tolerance: float) -> None:
        """Let `forward` solve at another tolerance from now on."""
        ...

    def settle(self, tolerance: float, first_calls: int) -> None:
        """Compile for this tolerance, and measure the first call of the gradient."""
        ...

    def forward(self) -> Any:
        """Solve; blocks until it is done."""
        ...

    def gradient(self) -> Any:
        """Gradient of the sum of squares of the final state by state and parameters; blocks."""
        ...


@dataclass(frozen=True)
class Ask:
    """What a solve in JAX is built for.

    Attributes:
        problem: what to solve.
        field: its field, or a wrapper of it.
        options: the solver's own.
        attempts: steps that the solve is known to need, or None if nothing is known.
    """

    problem: Problem
    field: Callable[[Any, Any, Any], Any]
    options: dict[str, Any]
    attempts: int | None = None


# A solve in JAX: `end(y0, args, tolerance) -> (final state, {"accepted", "attempts", ...})`.
End = Callable[[Any, Any, Any], tuple[Any, dict[str, Any]]]


@dataclass
class InJax:
    """A solver of a library on JAX; `build` makes its solve.

    Attributes:
        options: the solver's own, and `static_tolerance`: the library wants the tolerance before
            it traces; `forward_mode`: its gradient comes by forward mode.
    """

    problem: Problem
    dtype: str
    build: Callable[[Ask], End]
    options: dict[str, Any]
    facts: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._y0, self._args = self.problem.arrays(self.dtype)
        self._search: Any = None
        self._calls: dict[str, Any] = {}
        self.turn_to(0.0)

    def end_state(self, tolerance: float) -> np.ndarray:
        if self._search is None or self.options.get("static_tolerance"):
            end = self.build(Ask(self.problem, self.problem.field, self.options))
            self._search = jax.jit(self._closed(end, tolerance))
        state, stats = self._search(self._y0, self._args, jnp.asarray(tolerance, self.dtype))
        steps = {key: np.asarray(value) for key, value in stats.items()}
        self.facts |= {key: float(np.mean(value)) for key, value in steps.items()}
        if "attempts" in steps:
            self.facts["most_attempts"] = int(np.max(steps["attempts"]))
        return np.asarray(state)

    def turn_to(self, tolerance: float) -> None:
        self._tolerance = tolerance
        # On the device before anything is timed: to bring it there takes as long as a short solve.
        self._inputs = (self._y0, self._args, jnp.asarray(tolerance, self.dtype))

    def settle(self, tolerance: float, first_calls: int = 1) -> None:
        self.end_state(tolerance)
        self.turn_to(tolerance)
        self._search = None
        forward, _ = first_call(lambda: self._function("forward"), self._inputs)
        gradient, seconds = first_call(
            lambda: self._function("gradient"), self._inputs, first_calls
        )
        self._calls = {"forward": forward, "gradient": gradient}
        self.facts["first_call"] = seconds
        memory = gradient.memory_analysis()
        self.facts["temp_bytes"] = None if memory is None else int(memory.temp_size_in_bytes)
        self.facts["evaluations"] = self._count(("forward",) if first_calls == 1 else WHATS)

    def forward(self) -> Any:
        return jax.block_until_ready(self._calls["forward"](*self._inputs))

    def gradient(self) -> Any:
        return jax.block_until_ready(self._calls["gradient"](*self._inputs))

    def _closed(self, end: End, tolerance: float) -> End:
        if not self.options.get("static_tolerance"):
            return end
        return lambda y0, args, _: end(y0, args, tolerance)

    def _function(self, what: str, wrap: Callable[[Any], Any] = lambda field: field) -> Any:
        """The forward solve or the gradient, as new functions all through: nothing is cached."""
        inner = self.problem.field

        def field(t: Any, y: Any, args: Any) -> Any:
            return inner(t, y, args)

        attempts = self.facts.get("most_attempts")
        ask = Ask(self.problem, wrap(field), self.options, attempts)
        end = self._closed(self.build(ask), self._tolerance)
        if what == "forward":
            return lambda y0, args, tolerance: end(y0, args, tolerance)[0]

        if self.options.get("forward_mode"):
            return functools.partial(_by_forward_mode, end)

        def loss(y0: Any, args: Any, tolerance: Any) -> Any:
            return jnp.sum(end(y0, args, tolerance)[0] ** 2)

        return jax.grad(loss, argnums=(0, 1))

    def _count(self, whats: tuple[str, ...]) -> dict[str, int | None]:
        """Evaluations of the field that a solve and a gradient execute, counted as they run.

        Those of a batch that moves together count once, whoever needed them.
        """
        counts: dict[str, int | None] = {}
        for what in whats:
            counter = Counter()
            try:
                jax.block_until_ready(jax.jit(self._function(what, counter.wrap))(*self._inputs))
                jax.effects_barrier()
                counts[what] = counter.count
            except Exception:  # a library may not take fields with side effects
                counts[what] = None
        return counts


def _by_forward_mode(end: End, y0: Any, args: Any, tolerance: Any) -> tuple[Any, Any]:
    """The gradient of the sum of squares by one tangent for each component and parameter.

    In an ensemble each trajectory depends on its own row only, so all share the tangents.
    """

    def state(y0: Any, args: Any) -> Any:
        return end(y0, args, tolerance)[0]

    def along(tangents: Any) -> Any:
        value, change = jax.jvp(state, (y0, args), tangents)
        return 2 * jnp.sum(value * change, axis=-1)

    width, both = y0.shape[-1], y0.shape[-1] + args.shape[-1]
    basis = jnp.eye(both, dtype=y0.dtype).reshape((both,) + (1,) * (y0.ndim - 1) + (both,))
    basis = jnp.broadcast_to(basis, (both, *y0.shape[:-1], both))
    slopes = jnp.moveaxis(jax.vmap(along)((basis[..., :width], basis[..., width:])), 0, -1)
    return slopes[..., :width], slopes[..., width:]


def first_call(
    make: Callable[[], Callable[..., Any]], inputs: tuple[Any, ...], times: int = 1
) -> tuple[Any, dict[str, float]]:
    """A function, compiled, and the seconds of the parts of its first call: the least of several.

    For nothing makes a first call faster than it is.

    Args:
        make: makes it anew for each, so that JAX has not met it.
    """
    firsts = [_first_call(make(), inputs) for _ in range(times)]
    return firsts[-1][0], min((seconds for _, seconds in firsts), key=lambda one: sum(one.values()))


def _first_call(
    function: Callable[..., Any], inputs: tuple[Any, ...]
) -> tuple[Any, dict[str, float]]:
    jax.clear_caches()
    times = [time.perf_counter()]
    traced = jax.jit(function).trace(*inputs)
    times.append(time.perf_counter())
    compiled = traced.lower().compile()
    times.append(time.perf_counter())
    jax.block_until_ready(compiled(*inputs))
    times.append(time.perf_counter())
    return compiled, dict(zip(("trace", "compile", "run"), np.diff(times).tolist(), strict=True))


class Counter:
    """Counts how often a field is evaluated inside a compiled program."""

    def __init__(self) -> None:
        self.count = 0
        self._tick = jax.custom_batching.custom_vmap(self._call)
        self._tick.def_vmap(lambda _size, batched, t: (self._call(t), batched[0]))

    def wrap(self, field: Callable[[Any, Any, Any], Any]) -> Callable[[Any, Any, Any], Any]:
        """The field, counted; a vmapped one counts once for all."""

        def counted(t: Any, y: Any, args: Any) -> Any:
            # The state goes through the ticker, because time may not be batched where states are.
            first = jax.lax.stop_gradient(jnp.ravel(jax.tree.leaves(y)[0])[0])
            self._tick(first)
            return field(t, y, args)

        return counted

    def _call(self, t: Any) -> Any:
        jax.debug.callback(self._add)
        return t

    def _add(self) -> None:
        self.count += 1
