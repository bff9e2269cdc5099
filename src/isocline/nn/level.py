"""The level of a series near its latest observations: a way past the latent state.

A latent state is bounded by what training has seen. Series that wander off, as prices and epidemics
do, are met better by "as of late" plus what the latent ODE says of the change.
"""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

NEAR, FADE = 20.0, 1.0  # at the start of training, in one over model time


class Level(eqx.Module):
    """`share * level * exp(-fade t)` of each channel, from a weighted mean of its observations.

    The weights fall with the distance in time as `exp(-near |t|)`: the last value, where `near` is
    large, and the mean of the context where it is small. All three numbers of a channel are
    learnt: a random walk has a share of one and never fades, white noise has no share.

    Args:
        channels: observed at each time.
    """

    log_near: Float[Array, " channels"]
    log_fade: Float[Array, " channels"]
    raw_share: Float[Array, " channels"]

    def __init__(self, channels: int):
        self.log_near = jnp.full(channels, jnp.log(NEAR), jnp.float32)
        self.log_fade = jnp.full(channels, jnp.log(FADE), jnp.float32)
        self.raw_share = jnp.zeros(channels, jnp.float32)

    def __call__(
        self,
        times: Float[Array, " observations"],
        values: Float[Array, "observations channels"],
        mask: Bool[Array, "observations channels"],
        asked: Float[Array, " times"],
    ) -> Float[Array, "times channels"]:
        """What to add to the mean at the asked times; 0 of a channel that was not observed."""
        level = jax.nn.sigmoid(self.raw_share) * self.near(times, values, mask)
        return level * jnp.exp(-jnp.exp(self.log_fade) * asked[:, None])

    def near(
        self,
        times: Float[Array, " observations"],
        values: Float[Array, "observations channels"],
        mask: Bool[Array, "observations channels"],
    ) -> Float[Array, " channels"]:
        """The weighted mean itself; 0 of a channel that was not observed."""
        scores = -jnp.exp(self.log_near) * jnp.abs(times)[:, None]
        weights = jax.nn.softmax(jnp.where(mask, scores, -1e9), axis=0) * mask
        return jnp.sum(weights * values, axis=0)
