"""What was observed about a time, before it and after it: a way to any state of a trajectory.

The encoders sum a history up for its end. While training, what follows is known as well, and a
state in the middle is told best by both sides.
"""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PRNGKeyArray

NARROWEST, WIDEST = 100.0, 3.0  # rates at the start of training, in one over model time
LEAST = 1e-12  # what weighs less is too far for its rate; its square is still a float32


class Surroundings(eqx.Module):
    """Weighted means of the observations on each side of a time, and a network that reads them.

    The weights fall with the distance as `exp(-near |t|)`: the next observation alone, where `near`
    is large, and the mean of the side where it is small. So it is with `Level`; here each side has
    several rates, all learnt. Nothing is sequential, and one more time costs little.

    Args:
        channels: observed at each time.
        features: of the result.
        rates: how many, on each side.
    """

    log_near: Float[Array, "2 rates"]
    head: eqx.nn.MLP

    def __init__(self, channels: int, features: int, *, key: PRNGKeyArray, rates: int = 5):
        near = jnp.linspace(jnp.log(WIDEST), jnp.log(NARROWEST), rates, dtype=jnp.float32)
        self.log_near = jnp.stack([near, near])
        self.head = eqx.nn.MLP(6 * rates * channels, features, features, 2, jax.nn.tanh, key=key)

    def __call__(
        self,
        times: Float[Array, " observations"],
        values: Float[Array, "observations channels"],
        mask: Bool[Array, "observations channels"],
        at: Float[Array, ""],
    ) -> Float[Array, " features"]:
        """The features at a time of one trajectory: mean value and distance, and whether any."""
        away = times - at
        near = jnp.exp(self.log_near)[:, :, None]
        sides = jnp.stack([away <= 0, away > 0])[:, None]
        weights = jnp.exp(-near * jnp.abs(away)) * sides
        share = jnp.maximum(weights @ mask, LEAST)
        value = weights @ (values * mask) / share
        # In units of each rate, and bounded: a side may be all but empty.
        distance = (weights * away) @ mask / share * near
        distance = distance / (1 + jnp.abs(distance))
        there = share > LEAST
        return self.head(jnp.concatenate([value.ravel(), distance.ravel(), there.ravel()]))
