"""gradsolve: record and replay of ensembles, in double precision."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from .problems import Problem


class Engine(NamedTuple):
    """What gradsolve's engines are made of: a recorder of steps, and their replay.

    `record(f, y0, args, t0, t1, rtol, atol)` gives final states, step sizes, and counts.
    """

    record: Callable[..., Any]
    replay: Callable[..., Any]
    evaluations: int


class _Described(NamedTuple):
    """A problem in gradsolve's terms."""

    f_jax: Callable[[Any, Any, Any], Any]
    t0: float
    t1: float
    dim: int
    is_stiff: bool
    name: str


@dataclass
class InGradsolve:
    """An engine of gradsolve.

    Its public closure traces the replay anew for every recorded mesh; here the replay is compiled
    once and the step sizes are an argument, which is its fastest right setting. The recorder
    compiles once for a tolerance, and hands the steps over through NumPy.

    Attributes:
        options: `reuse`: the gradient replays steps that were recorded before, which is right
            only near the parameters that they were recorded at.
    """

    problem: Problem
    dtype: str
    build: Callable[[Problem], Engine]
    options: dict[str, Any]
    facts: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        lanes = self.problem.lanes
        self._rows = [
            np.asarray(leaf if lanes else leaf[None], "float64")
            for leaf in (self.problem.y0, self.problem.args)
        ]
        self._tolerance = 0.0
        self._prepare()

    def _prepare(self) -> None:
        problem, inner = self.problem, self.problem.field

        def f_jax(t: Any, y: Any, args: Any) -> Any:
            return inner(t, y, args)

        self._engine = self.build(problem)
        size = self._rows[0].shape[1]
        self._described = _Described(f_jax, problem.t0, problem.t1, size, problem.stiff, "bench")

        def loss(y0: Any, args: Any, sizes: Any) -> Any:
            return jnp.sum(self._engine.replay(self._described, y0, args, sizes) ** 2)

        self._gradient = jax.jit(jax.grad(loss, argnums=(0, 1)))

    def _record(self, tolerance: float) -> Any:
        end, sizes, accepted, rejected = self._engine.record(
            self._described.f_jax,
            *self._rows,
            self.problem.t0,
            self.problem.t1,
            rtol=tolerance,
            atol=tolerance * self.problem.atol,
        )
        return end, sizes, accepted, rejected

    def end_state(self, tolerance: float) -> np.ndarray:
        try:
            end, _, accepted, rejected = self._record(tolerance)
        except RuntimeError:  # how it says that a trajectory failed
            return np.full(np.shape(self.problem.y0), np.nan)
        self.facts |= {
            "accepted": float(np.mean(accepted)),
            "attempts": float(np.mean(accepted + rejected)),
            "needed": 1 + float(np.mean(accepted)) * self._engine.evaluations,
        }
        return end.reshape(np.shape(self.problem.y0))

    def turn_to(self, tolerance: float) -> None:
        self._tolerance = tolerance

    def settle(self, tolerance: float, first_calls: int = 1) -> None:
        self._tolerance = tolerance
        firsts = []
        for _ in range(first_calls):
            jax.clear_caches()
            started = time.perf_counter()
            self._prepare()
            self._sizes = None
            self.gradient()
            firsts.append(time.perf_counter() - started)
        self.facts["first_call"] = {"all": min(firsts)}
        compiled = self._gradient.lower(*self._inputs()).compile()
        memory = compiled.memory_analysis()
        self.facts["temp_bytes"] = None if memory is None else int(memory.temp_size_in_bytes)

    def _inputs(self) -> tuple[Any, ...]:
        if self._sizes is None or not self.options.get("reuse"):
            self._sizes = jnp.asarray(self._record(self._tolerance)[1])
        return (*map(jnp.asarray, self._rows), self._sizes)

    def forward(self) -> Any:
        return self._record(self._tolerance)[0]

    def gradient(self) -> Any:
        return jax.block_until_ready(self._gradient(*self._inputs()))


def _import() -> None:
    """Import gradsolve without the double precision that it switches on for everybody."""
    before = jax.config.read("jax_enable_x64")
    import gradsolve  # noqa: F401

    jax.config.update("jax_enable_x64", before)


def explicit(_problem: Problem) -> Engine:
    """Tsit5, recorded on the device for all trajectories at once."""
    _import()
    from gradsolve.solvers.method import TSIT5_METHOD
    from gradsolve.solvers.record_jax import record_adaptive_jax
    from gradsolve.warp.warp_replay import replay_solve_jax

    def record(*inputs: Any, **settings: Any) -> Any:
        return record_adaptive_jax(TSIT5_METHOD, *inputs, **settings)

    return Engine(record, replay_solve_jax, 6)


def stiff(_problem: Problem) -> Engine:
    """Rodas5P, recorded on the device."""
    _import()
    from gradsolve.solvers.record_jax import record_adaptive_jax
    from gradsolve.solvers.rodas5p_replay import replay_rodas5p_jax
    from gradsolve.solvers.rodas5p_step import RODAS5P_METHOD

    def record(*inputs: Any, **settings: Any) -> Any:
        return record_adaptive_jax(RODAS5P_METHOD, *inputs, **settings)

    return Engine(record, replay_rodas5p_jax, 8)
