"""`odeint` with torchdiffeq's signature, for code that comes from there."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal

import numpy as np
from jaxtyping import ArrayLike, Float, PyTree

from ..errors import InputError
from .solve import solve
from .tableaus import find


def odeint(
    f: Callable[..., PyTree],
    y0: PyTree[ArrayLike],
    t: Float[ArrayLike, " times"],
    *,
    rtol: float = 1e-7,
    atol: float = 1e-9,
    method: str = "dopri5",
    options: Mapping[str, Any] | None = None,
    adjoint: Literal["auto", "replay", "reversible", "backsolve", "forward", "direct"] = "auto",
) -> PyTree:
    """Solve `dy/dt = f(t, y)` and give y at the times `t`, time axis first.

    As in torchdiffeq: the default tolerances are tight (in float32 they are raised to what it
    resolves, with a warning), and methods without an error estimate (euler, rk4) step from one time
    of `t` to the next, or by `options={"step_size": h}`; `options={"first_step": h,
    "max_num_steps": n}` are known as well. For counts and status use `solve`.

    Args:
        f: the vector field `f(t, y)`.
        y0: the initial state at `t[0]`, any pytree of real arrays.
        t: times, rising or falling.
        rtol, atol: tolerances.
        method: a name of `isocline.ode.METHODS`.
        options: see above.
        adjoint: as in `solve`.

    Raises:
        InputError: an argument or option does not fit.
        SolveError: the solve failed (outside `jit`).
    """
    options = dict(options or {})
    step_size, first = options.pop("step_size", None), options.pop("first_step", None)
    max_steps = options.pop("max_num_steps", 4096)
    if options:
        raise InputError(
            f"options {sorted(options)} are not known; "
            "choose from step_size, first_step, max_num_steps."
        )
    grid = None
    if step_size is not None or not find(method).adaptive:
        grid = t if step_size is None else _stepped(t, float(step_size))
        max_steps = max(max_steps, np.size(grid))
    solution = solve(
        f,
        y0,
        t,
        method=method,
        rtol=rtol,
        atol=atol,
        grid=grid,
        dt0=first,
        adjoint=adjoint,
        max_steps=max_steps,
    )
    return solution.ys


def _stepped(t: Any, step_size: float) -> np.ndarray:
    """Times from the first to the last of `t`, `step_size` apart; the last step is what is left."""
    first, last = float(t[0]), float(t[-1])
    if step_size <= 0:
        raise InputError(f"options['step_size']={step_size} must be positive.")
    steps = max(int(np.ceil(abs(last - first) / step_size - 1e-9)), 1)
    grid = first + np.sign(last - first) * step_size * np.arange(steps + 1)
    grid[-1] = last
    return grid
