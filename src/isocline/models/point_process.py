"""When something happens, as a Poisson process whose rate a latent state drives.

Chen et al. (2018), sec. 5.1: `log p(t_1 ... t_n) = sum log rate(z(t_i)) - integral of the rate`,
the integral as one more state of the solve that gives z.
"""

from __future__ import annotations

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PRNGKeyArray, PyTree

# Per unit of model time, which is all that was watched: exp(12) is 163,000 events of a sequence.
LOWEST_LOG_RATE, HIGHEST_LOG_RATE = -12.0, 12.0


class Intensity(eqx.Module):
    """The rate of events at a latent state, per unit of model time."""

    log_rate: eqx.nn.MLP

    def __init__(self, latent_size: int, hidden_size: int, *, key: PRNGKeyArray):
        self.log_rate = eqx.nn.MLP(latent_size, "scalar", hidden_size, 1, jax.nn.tanh, key=key)

    def __call__(self, z: Float[Array, " latent"]) -> Float[Array, ""]:
        """The logarithm of the rate."""
        return jnp.clip(self.log_rate(z), LOWEST_LOG_RATE, HIGHEST_LOG_RATE)


class CountingField(eqx.Module):
    """`dz/dt` of a field, and beside it `dn/dt = rate(z)`: n is the expected number of events."""

    field: Callable[..., Array]
    intensity: Intensity

    def __call__(
        self,
        t: Float[Array, ""],
        y: tuple[Float[Array, " latent"], Float[Array, ""]],
        args: PyTree,
    ) -> tuple[Array, Array]:
        """Slopes of the latent state and of the count."""
        z, _ = y
        return self.field(t, z, args), jnp.exp(self.intensity(z))


def poisson_log_likelihood(
    log_rate: Float[Array, "batch times"],
    expected: Float[Array, "batch times"],
    events: Bool[Array, "batch times"],
) -> Float[Array, ""]:
    """The log density of the times of all events.

    Args:
        log_rate: at the asked times.
        expected: the number of events since time 0; that at the last of the times counts, which is
            the end of what was watched.
        events: which of the times are events.
    """
    return jnp.sum(jnp.where(events, log_rate, 0)) - jnp.sum(expected[:, -1])
