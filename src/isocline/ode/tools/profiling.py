"""What a solve and its gradient cost: seconds, bytes, evaluations, distance to the floor."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float, PyTree

from ...errors import InputError
from ..arguments import read_count
from ..solution import SolveError
from ..tableaus import ByDiffrax, find
from ..traced import operations
from .counting import Counter
from .floor import bare_evaluations
from .problem import Inputs, Problem, read_problem
from .tables import seconds, size, text_table


@dataclass(frozen=True)
class Cost:
    """What one compiled function costs.

    Attributes:
        trace, compile, run: seconds; the run is a median, after the first.
        floor: seconds of the bare evaluations (for a gradient: and their VJPs) in the same run.
        temporary: bytes of XLA's scratch memory at its peak, the record of steps included; None
            where the backend does not say.
        equations: operations of the traced program, those in loops counted once.
        evaluations, pullbacks: evaluations of the field and VJPs of it; those of the forward pass
            are among the evaluations of a gradient.
    """

    trace: float
    compile: float
    run: float
    floor: float
    temporary: int | None
    equations: int
    evaluations: int
    pullbacks: int

    @property
    def above_floor(self) -> float:
        """How many times the floor the run takes."""
        return self.run / self.floor


@dataclass(frozen=True)
class Profile:
    """What `profile` measured; `print` it.

    Attributes:
        forward, gradient: the solve alone, and the gradient in y0, args and f.
        kept: bytes that the forward pass of a gradient hands to the backward pass: the record of
            steps and copies of the inputs.
        accepted, rejected: steps of all trajectories together.
        floor_evaluations: of the bare loop: those that the accepted steps need.
        method, adjoint, dtype, device: what was measured.
    """

    forward: Cost
    gradient: Cost
    kept: int
    accepted: int
    rejected: int
    floor_evaluations: int
    method: str
    adjoint: str
    dtype: str
    device: str

    def as_dict(self) -> dict[str, Any]:
        """The profile as JSON can hold it."""
        above = {name: getattr(self, name).above_floor for name in ("forward", "gradient")}
        return asdict(self) | {"above_floor": above}

    def __str__(self) -> str:
        titles = ["", "trace", "compile", "run", "floor", "above it", "scratch", "evaluations"]
        titles += ["VJPs", "equations"]
        rows = [
            [
                name,
                *map(seconds, (cost.trace, cost.compile, cost.run, cost.floor)),
                f"{cost.above_floor:.1f}x",
                size(cost.temporary),
                str(cost.evaluations),
                str(cost.pullbacks),
                str(cost.equations),
            ]
            for name, cost in (("forward", self.forward), ("gradient", self.gradient))
        ]
        return (
            f"{self.method}, adjoint {self.adjoint}, {self.dtype} on {self.device}: "
            f"{self.accepted} accepted and {self.rejected} rejected steps\n"
            f"{text_table(titles, rows)}\n"
            f"Kept for the backward pass: {size(self.kept)}. Floor: {self.floor_evaluations} bare "
            "evaluations in a scan."
        )


def profile(
    f: Callable[..., PyTree],
    y0: PyTree[ArrayLike],
    ts: Float[ArrayLike, "*batch times"],
    args: PyTree = None,
    *,
    loss: Callable[[PyTree], Float[Array, ""]] | None = None,
    repeats: int = 7,
    **options: Any,
) -> Profile:
    """Measure a solve and its gradient on this machine, beside the floor.

    The floor is a bare `lax.scan` over as many evaluations of the same field as the accepted steps
    need; its gradient is taken with `jax.checkpoint` around each. All four run in turns.

    Args:
        f, y0, ts, args: as in `solve`.
        loss: one number from the values at `ts`; a random weighted sum of them if not given.
        repeats: measurements that the median is of.
        options: of `solve`; `adjoint="forward"` has no gradient in reverse mode.

    Raises:
        InputError: an argument does not fit.
        SolveError: the solve fails.
    """
    read_count("repeats", repeats)
    method = find(options.get("method", "tsit5"))
    if isinstance(method, ByDiffrax):
        raise InputError(
            f"method={method.name!r} is run by Diffrax, which does not count evaluations: profile "
            "a method of ours, as 'rodas5p'."
        )
    problem = read_problem(f, y0, ts, args, loss, options)
    solution = problem.solve(problem.inputs)
    if not bool(jnp.all(solution.success)):
        raise SolveError(solution.explain(), solution)
    needed = jnp.mean(solution.stats.accepted) * method.evaluations
    count = max(int(needed), 1)
    arrays, functions = _functions(problem, count)
    built = {name: _built(function, arrays) for name, function in functions.items()}
    calls = {name: made.compiled for name, made in built.items()}
    taken = _in_turns({n: lambda call=call: call(arrays) for n, call in calls.items()}, repeats)
    pulled = jax.eval_shape(lambda arrays: jax.vjp(functions["forward"], arrays)[1], arrays)
    costs = {}
    for name, floor in (("forward", "floor"), ("gradient", "floor gradient")):
        evaluations, pullbacks = _counted(problem, name)
        costs[name] = Cost(
            trace=built[name].trace,
            compile=built[name].compile,
            run=taken[name],
            floor=taken[floor],
            temporary=_temporary(built[name].compiled),
            equations=built[name].equations,
            evaluations=evaluations,
            pullbacks=pullbacks,
        )
    return Profile(
        **costs,
        kept=sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(pulled)),
        accepted=int(jnp.sum(solution.stats.accepted)),
        rejected=int(jnp.sum(solution.stats.rejected)),
        floor_evaluations=count,
        method=solution.method,
        adjoint=solution.adjoint,
        dtype=str(problem.inputs.ts.dtype),
        device=str(jax.devices()[0]),
    )


def _apart(problem: Problem) -> tuple[Inputs, Inputs]:
    """What the gradient is taken in, and all else; times stay constants, as in most programs."""
    arrays, rest = eqx.partition(problem.inputs, eqx.is_inexact_array)
    return arrays._replace(ts=None), rest._replace(ts=problem.inputs.ts)


def _functions(problem: Problem, count: int) -> tuple[Inputs, dict[str, Callable]]:
    """The four functions to measure, and what they take."""
    arrays, rest = _apart(problem)

    def value(arrays: Any) -> Float[Array, ""]:
        inputs = eqx.combine(arrays, rest)

        def fresh(t: Any, y: Any, args: Any) -> Any:
            # A new function each time: a trace that was taken before would be found again.
            return inputs.f(t, y, args)

        return problem.value(inputs._replace(f=fresh))[0]

    def bare(arrays: Any) -> Float[Array, ""]:
        last = bare_evaluations(problem, eqx.combine(arrays, rest), count)
        return sum((jnp.sum(leaf) for leaf in jax.tree.leaves(last)), jnp.zeros(()))

    return arrays, {
        "forward": value,
        "gradient": jax.grad(value),
        "floor": bare,
        "floor gradient": jax.grad(bare),
    }


@dataclass(frozen=True)
class _Built:
    compiled: Any
    trace: float
    compile: float
    equations: int


def _built(function: Callable, arrays: Any) -> _Built:
    jitted = jax.jit(function)
    started = time.perf_counter()
    traced = jitted.trace(arrays)
    between = time.perf_counter()
    compiled = traced.lower().compile()
    ended = time.perf_counter()
    return _Built(
        compiled, between - started, ended - between, sum(1 for _ in operations(traced.jaxpr.jaxpr))
    )


def _temporary(compiled: Any) -> int | None:
    analysis = compiled.memory_analysis()
    return None if analysis is None else int(analysis.temp_size_in_bytes)


def _counted(problem: Problem, name: str) -> tuple[int, int]:
    """Evaluations and VJPs of one run, counted in it."""
    arrays, rest = _apart(problem)
    counter = Counter()

    def value(arrays: Any) -> Float[Array, ""]:
        inputs = eqx.combine(arrays, rest)
        return problem.value(inputs._replace(f=counter.counted(inputs.f)))[0]

    jax.block_until_ready(jax.jit(jax.grad(value) if name == "gradient" else value)(arrays))
    jax.effects_barrier()
    return counter.evaluations, counter.pullbacks


def _in_turns(calls: dict[str, Callable[[], Any]], repeats: int) -> dict[str, float]:
    """Median seconds of each call, one measurement of all before the next of any."""
    for call in calls.values():
        jax.block_until_ready(call())
    found: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(repeats):
        for name, call in calls.items():
            started = time.perf_counter()
            jax.block_until_ready(call())
            once = time.perf_counter() - started
            loops = int(min(max(2e-3 / max(once, 1e-9), 1), 100))
            started = time.perf_counter()
            for _ in range(loops):
                jax.block_until_ready(call())
            found[name].append((time.perf_counter() - started) / loops)
    return {name: float(np.median(times)) for name, times in found.items()}
