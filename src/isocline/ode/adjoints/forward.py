"""No adjoint at all: loops that JAX differentiates itself, forward, or to any order."""

from __future__ import annotations

from ...errors import InputError
from ..field import Field, Params
from ..lanes import integrate_all
from ..loop import Outcome, first_steps, integrate
from ..refusing import NO_REVERSE, forward_only
from ..task import Rules, Task

# So many attempts at a step, needed or not, are as much as anyone would want to wait for.
MOST_UNROLLED = 512


def forward(rules: Rules, field: Field, params: Params, task: Task) -> Outcome:
    """Solve by the plain loop: `jax.jvp`, `jax.jacfwd` and `jax.linearize` work."""
    return forward_only(integrate_all(rules, field, params, task), NO_REVERSE)


def direct(rules: Rules, field: Field, params: Params, task: Task) -> Outcome:
    """Solve by a scan over all steps there may be: any transformation works, to any order.

    The rules are to be unrolled.
    """
    return integrate(rules, field, params, task, first_steps(rules, field, params, task)).at


def check_direct(fixed: bool, max_steps: int) -> None:
    """Whether the number of steps is known and small.

    Raises:
        InputError: it is not.
    """
    if not fixed and max_steps > MOST_UNROLLED:
        raise InputError(
            f"adjoint='direct' makes max_steps={max_steps} attempts, needed or not: pass steps= or "
            f"grid=, or a max_steps that is just enough, up to {MOST_UNROLLED} (the stats of a "
            "solve with another adjoint say how many it takes)."
        )
