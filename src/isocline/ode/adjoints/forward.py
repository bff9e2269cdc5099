"""No adjoint at all: the plain loop, which forward-mode differentiation passes through."""

from __future__ import annotations

from ..field import Field, Params
from ..lanes import integrate_all
from ..loop import Outcome, Rules, Task


def forward(rules: Rules, field: Field, params: Params, task: Task) -> Outcome:
    """Solve; `jax.jvp`, `jax.jacfwd` and `jax.linearize` work, `jax.grad` ends in JAX's error."""
    return integrate_all(rules, field, params, task)
