"""What a sequence model reads and what it is asked, as padded arrays."""

from __future__ import annotations

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from .exogenous import Exogenous


class Context(eqx.Module):
    """The observations that a model may know, one row a trajectory.

    Attributes:
        times: relative to the time of the latent state, in model time.
        values: scaled; 0 where nothing was observed.
        mask: what was observed; all false in padding.
        phase: where each season stands at the time of the state, in radians.
        exogenous: covariates, if there are any.
    """

    times: Float[Array, "batch observations"]
    values: Float[Array, "batch observations channels"]
    mask: Bool[Array, "batch observations channels"]
    phase: Float[Array, "batch periods"]
    exogenous: Exogenous | None = None

    def observations(
        self,
    ) -> tuple[Float[Array, "*batch observations read"], Bool[Array, "*batch observations read"]]:
        """What an encoder reads: values and mask of the channels and of covariates."""
        if self.exogenous is None:
            return self.values, self.mask
        values = jnp.concatenate([self.values, self.exogenous.values], axis=-1)
        return values, jnp.concatenate([self.mask, self.exogenous.mask], axis=-1)

    def beside(
        self, level: Float[Array, "batch channels"]
    ) -> tuple[Float[Array, "*batch observations read"], Bool[Array, "*batch observations read"]]:
        """The observations, and then the values of the channels once more, less a level."""
        values, mask = self.observations()
        less = (self.values - level[:, None]) * self.mask
        return jnp.concatenate([values, less], axis=-1), jnp.concatenate([mask, self.mask], axis=-1)


class Target(eqx.Module):
    """What a model is asked: rising times after its state, padded by the last; and the truth."""

    times: Float[Array, "batch times"]
    values: Float[Array, "batch times channels"]
    mask: Bool[Array, "batch times channels"]

    def until(self, end: Float[Array, ""]) -> Target:
        """The same with nothing asked after a time: what lies beyond becomes padding."""
        inside = self.times <= end
        last = jnp.max(jnp.where(inside, self.times, 0), axis=1, keepdims=True)
        times = jnp.where(inside, self.times, last)
        return Target(times, self.values, self.mask & inside[:, :, None])


class Prediction(eqx.Module):
    """A normal distribution at each asked time: mean and standard deviation; and what it cost.

    Attributes:
        log_rate, expected: of a model of when rows are observed, the logarithm of their rate and
            their expected number since time 0.
    """

    mean: Float[Array, "batch times channels"]
    std: Float[Array, "batch times channels"]
    latent: Float[Array, "batch times latent"]
    nfe: Array
    log_rate: Float[Array, "batch times"] | None = None
    expected: Float[Array, "batch times"] | None = None
