"""Several members of one model, trained side by side from different starts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from .batch import Context, Prediction, Target


class Ensemble(eqx.Module):
    """Members with a leading axis on every array; their predictions are pooled draw by draw.

    Args:
        make: `make(key) -> model`, for one member.
        size: number of members.
    """

    members: Any
    size: int = eqx.field(static=True)

    def __init__(self, make: Callable[[PRNGKeyArray], Any], size: int, *, key: PRNGKeyArray):
        self.members = eqx.filter_vmap(make)(jax.random.split(key, size))
        self.size = size

    def map(self, function: Callable[..., Any], *per_member: Any) -> Any:
        """Apply `function(member, ...)` to every member; results have a leading axis."""
        return eqx.filter_vmap(function)(self.members, *per_member)

    def loss(
        self, context: Context, target: Target, key: PRNGKeyArray, kl_weight: Float[Array, ""]
    ) -> tuple[Float[Array, ""], dict[str, Array]]:
        """The mean loss; members share the batch but not the noise."""
        keys = jax.random.split(key, self.size)
        losses, parts = self.map(
            lambda member, key: member.loss(context, target, key, kl_weight), keys
        )
        return jnp.mean(losses), jax.tree.map(jnp.mean, parts)

    def predict(
        self, context: Context, times: Float[Array, "batch times"], key: PRNGKeyArray, samples: int
    ) -> Prediction:
        """About so many draws in all, shared out evenly among the members."""
        keys = jax.random.split(key, self.size)
        each = max(samples // self.size, 1)
        pooled = self.map(lambda member, key: member.predict(context, times, key, each), keys)
        return jax.tree.map(
            lambda leaf: leaf.reshape(leaf.shape[0] * leaf.shape[1], *leaf.shape[2:]), pooled
        )
