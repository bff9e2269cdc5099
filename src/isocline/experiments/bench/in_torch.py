"""The solvers of libraries on PyTorch, in eager mode, on one core or on all: whichever is faster.

TorchScript fails on torchode with the PyTorch of today (an internal assertion), and `torch.compile`
makes it slower (measured: 113 s for the first call, and 13 times the time of every later one).
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import jax
import numpy as np

from .problems import Problem
from .torch_fields import FIELDS

# A solve in PyTorch: `end(y0, tolerance) -> (final state, {"accepted", "attempts"})`.
End = Callable[[Any, float], tuple[Any, dict[str, Any]]]


@dataclass
class InTorch:
    """A solver of a library on PyTorch; `build(module, problem, options)` makes its `End`."""

    problem: Problem
    dtype: str
    build: Callable[[Any, Problem, dict[str, Any]], End]
    options: dict[str, Any]
    facts: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        import torch

        self._threads = os.cpu_count() or 1
        torch.set_num_threads(self._threads)
        kind = getattr(torch, self.dtype)
        y0 = np.atleast_2d(self.problem.y0)
        self._y0 = torch.tensor(y0, dtype=kind)
        self._module = _module(self.problem, kind)
        self._end = self.build(self._module, self.problem, self.options)
        self._tolerance = 0.0

    def end_state(self, tolerance: float) -> np.ndarray:
        import torch

        stats: dict[str, Any] = {}
        state: Any = None

        def solve() -> None:
            nonlocal state, stats
            state, stats = self._end(self._y0, tolerance)

        with torch.no_grad():
            try:
                self.facts["nfe"] = self._count(solve)
            except (AssertionError, RuntimeError):  # how they say that a step underflows
                return np.full(np.shape(self.problem.y0), np.nan)
        self.facts |= {key: float(np.mean(np.asarray(value))) for key, value in stats.items()}
        return state.numpy().reshape(np.shape(self.problem.y0))

    def turn_to(self, tolerance: float) -> None:
        self._tolerance = tolerance

    def settle(self, tolerance: float, first_calls: int = 1) -> None:
        self._tolerance = tolerance
        self._choose_threads()
        firsts = []
        for _ in range(first_calls):
            started = time.perf_counter()
            # A new module and solver, as for a new user: PyTorch has little else to prepare.
            self._module = _module(self.problem, self._y0.dtype)
            self._end = self.build(self._module, self.problem, self.options)
            self.gradient()
            firsts.append(time.perf_counter() - started)
        self.facts["first_call"] = {"run": min(firsts)}
        calls = {"forward": self.forward, "gradient": self.gradient}
        self.facts["evaluations"] = {what: self._count(call) for what, call in calls.items()}

    def _choose_threads(self) -> None:
        """One thread or all: for small states the others only cost."""
        seconds = {}
        for threads in {1, self._threads}:
            self._threads = threads
            self.forward()
            started = time.perf_counter()
            self.forward()
            seconds[threads] = time.perf_counter() - started
        self._threads = self.facts["threads"] = min(seconds, key=seconds.__getitem__)

    def forward(self) -> Any:
        import torch

        torch.set_num_threads(self._threads)
        with torch.no_grad():
            return self._end(self._y0, self._tolerance)[0]

    def gradient(self) -> Any:
        import torch

        torch.set_num_threads(self._threads)
        y0 = self._y0.clone().requires_grad_()
        inputs = [y0, *self._module.parameters()]
        return torch.autograd.grad((self._end(y0, self._tolerance)[0] ** 2).sum(), inputs)

    def _count(self, call: Callable[[], Any]) -> int:
        count = 0

        def tick(*_: Any) -> None:
            nonlocal count
            count += 1

        hook = self._module.register_forward_hook(tick)
        call()
        hook.remove()
        return count


def _module(problem: Problem, kind: Any) -> Any:
    """The field as a module, its parameters in the order of `jax.tree.leaves`."""
    import torch

    class Field(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            leaves = [torch.tensor(leaf, dtype=kind) for leaf in jax.tree.leaves(problem.args)]
            self.leaves = torch.nn.ParameterList(map(torch.nn.Parameter, leaves))
            self.function = FIELDS[problem.kind]

        def forward(self, t: Any, y: Any) -> Any:
            return self.function(t, y, list(self.leaves))

    return Field()


def torchdiffeq(module: Any, problem: Problem, options: dict[str, Any]) -> End:
    """Options: method, steps (fixed ones), adjoint: by `odeint_adjoint` (the continuous one).

    One clock for all trajectories.
    """
    import torch
    from torchdiffeq import odeint, odeint_adjoint

    solve = odeint_adjoint if options.get("adjoint") else odeint

    def end(y0: Any, tolerance: float) -> tuple[Any, dict[str, Any]]:
        times = torch.tensor([problem.t0, problem.t1], dtype=y0.dtype)
        settings: dict[str, Any] = {"rtol": tolerance, "atol": tolerance * problem.atol}
        if "steps" in options:
            settings["options"] = {"step_size": (problem.t1 - problem.t0) / options["steps"]}
        return solve(module, y0, times, method=options["method"], **settings)[-1], {}

    return end


def torchode(module: Any, problem: Problem, options: dict[str, Any]) -> End:
    """Options: method (a name in torchode). Every row of the state has its own clock."""
    import torch
    import torchode as to

    def end(y0: Any, tolerance: float) -> tuple[Any, dict[str, Any]]:
        shape, rows = y0.shape, y0.reshape(len(y0), -1)
        term = to.ODETerm(lambda t, y: module(t, y.reshape(shape)).reshape(rows.shape))
        # As everywhere here, step sizes are held fixed in the gradient.
        solver = to.AutoDiffAdjoint(
            getattr(to, options["method"])(term=term),
            to.IntegralController(atol=tolerance * problem.atol, rtol=tolerance, term=term),
            backprop_through_step_size_control=False,
        )
        start = torch.full((len(y0),), problem.t0, dtype=y0.dtype)
        stop = torch.full((len(y0),), problem.t1, dtype=y0.dtype)
        solution = solver.solve(to.InitialValueProblem(y0=rows, t_start=start, t_end=stop))
        counts = {key: solution.stats[f"n_{key}"] for key in ("accepted", "steps")}
        return solution.ys[:, -1].reshape(shape), {
            "accepted": counts["accepted"],
            "attempts": counts["steps"],
        }

    return end
