"""Vector fields for latent states."""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray


def seasons_at(
    t: Float[Array, "*times"],
    frequencies: Float[Array, " periods"],
    phase: Float[Array, " periods"],
) -> Float[Array, "*times twice_periods"]:
    """Cosine and sine of each season at time t, where it stood at `phase` (radians) at time 0."""
    angle = t[..., None] * frequencies + phase
    return jnp.concatenate([jnp.cos(angle), jnp.sin(angle)], axis=-1)


class ForcedField(eqx.Module):
    """`dz/dt = W z + MLP(z, seasons(t))`: linear, and a small MLP driven by the calendar.

    Args:
        latent_size: components of z.
        hidden_size, depth: of the MLP.
        periods: number of seasons that force it (0: autonomous).
        inputs: number of other inputs that do.
    """

    linear: Float[Array, "latent latent"]
    mlp: eqx.nn.MLP

    def __init__(
        self,
        latent_size: int,
        hidden_size: int,
        depth: int,
        periods: int,
        inputs: int = 0,
        *,
        key: PRNGKeyArray,
    ):
        wide = latent_size + 2 * periods + inputs
        self.mlp = eqx.nn.MLP(wide, latent_size, hidden_size, depth, jax.nn.tanh, key=key)
        self.linear = -0.1 * jnp.eye(latent_size)

    def __call__(
        self, t: Float[Array, ""], z: Float[Array, " latent"], args: tuple[Array, ...]
    ) -> Float[Array, " latent"]:
        """The slope.

        `args` are the seasons' frequencies, this trajectory's phases at time 0, and the values of
        other inputs at t, if there are any.
        """
        frequencies, phase, *inputs = args
        seasons = seasons_at(t, frequencies, phase)
        return self.linear @ z + self.mlp(jnp.concatenate([z, seasons, *inputs]))
