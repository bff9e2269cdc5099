"""Encoders: from irregular observations to a summary at the time of the latent initial state.

Every encoder reads one trajectory: times relative to that of the state (so that |t| is the
distance), values with zeros where nothing was observed, and a mask. Padding has an all-false mask.
Recurrent encoders read from the farthest observation to the nearest: backwards in time when the
state lies at the start, as in Chen et al. (2018), forwards when it lies at the end.
"""

from __future__ import annotations

from abc import abstractmethod

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float


class AbstractEncoder(eqx.Module):
    """`(times, values, mask) -> features`."""

    @abstractmethod
    def __call__(
        self,
        times: Float[Array, " observations"],
        values: Float[Array, "observations channels"],
        mask: Bool[Array, "observations channels"],
    ) -> Float[Array, " features"]:
        """The summary of one trajectory's observations."""


def far_to_near(
    times: Float[Array, " observations"], seen: Bool[Array, " observations"]
) -> tuple[Array, Float[Array, " observations"]]:
    """The order from the farthest observation to the nearest, and the gap before each."""
    distance = jnp.where(seen, jnp.abs(times), jnp.inf)
    order = jnp.argsort(-distance)
    sorted_distance = distance[order]
    after = jnp.where(jnp.isfinite(sorted_distance), sorted_distance, 0)
    before = jnp.concatenate([after[:1], after[:-1]])
    gap = jnp.where(
        jnp.isfinite(jnp.concatenate([sorted_distance[:1], sorted_distance[:-1]])),
        before - after,
        0,
    )
    return order, gap


def nearest_values(
    times: Float[Array, " observations"],
    values: Float[Array, "observations channels"],
    mask: Bool[Array, "observations channels"],
) -> tuple[Float[Array, " channels"], Float[Array, " channels"]]:
    """Each channel's value that is nearest to the state, and how fresh it is; zeros without one."""
    distance = jnp.where(mask, jnp.abs(times)[:, None], jnp.inf)
    nearest = jnp.argmin(distance, axis=0)
    channel = jnp.arange(values.shape[1])
    known = mask[nearest, channel]
    last = jnp.where(known, values[nearest, channel], 0)
    return last, jnp.where(known, jnp.exp(-jnp.abs(times)[nearest]), 0)
