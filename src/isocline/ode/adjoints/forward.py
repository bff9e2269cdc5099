"""No adjoint at all: the plain loop, which forward-mode differentiation passes through."""

from __future__ import annotations

from ..field import Field, Params
from ..loop import Rules, State, Task, integrate


def forward(rules: Rules, field: Field, params: Params, task: Task) -> State:
    """Solve; `jax.jvp`, `jax.jacfwd` and `jax.linearize` work, `jax.grad` ends in JAX's error."""
    return integrate(rules, field, params, task, record=False)
