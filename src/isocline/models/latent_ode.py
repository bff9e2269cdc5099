"""The latent ODE (Chen et al. 2018, sec. 5): a generative model of irregular time series."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from isocline.nn import ENCODERS, AbstractEncoder, ForcedField, Level
from isocline.ode import solve

from .batch import Context, Prediction, Target
from .exogenous import NO_COVARIATES, DrivenField, Exogenous, Widths, solver_on
from .likelihood import gaussian_log_likelihood

LOWEST_LOG_STD, HIGHEST_LOG_STD = -5.0, 2.0


class LatentODE(eqx.Module):
    """Observations -> q(z0), `dz/dt = field(z, season)`, z(t) -> a normal distribution.

    Args:
        channels: observed at each time.
        latent_size: components of z.
        hidden_size: width of field, decoder and encoder.
        encoder: a name of `isocline.nn.ENCODERS`.
        frequencies: of the seasons, in radians per unit of model time.
        forced: which of them force the field, by place; all if None. A fast one makes every solve
            take small steps; the encoder knows the phases of all.
        noise: "constant": one learnt standard deviation a channel; "state": the decoder gives it.
        anchored: the mean is what the state says beside a level of the latest observations.
        covariates: what drives the field beside the seasons; encoder and decoder are told as well.
    """

    encoder: AbstractEncoder
    posterior: eqx.nn.Linear
    field: ForcedField
    decoder: eqx.nn.MLP
    log_std: Float[Array, " channels"]
    level: Level | None
    frequencies: tuple[float, ...] = eqx.field(static=True)
    forced: tuple[int, ...] = eqx.field(static=True)
    noise: str = eqx.field(static=True)
    solver: tuple[tuple[str, Any], ...] = eqx.field(static=True)
    covariates: Widths = eqx.field(static=True)

    def __init__(
        self,
        channels: int,
        latent_size: int = 8,
        hidden_size: int = 48,
        encoder: str = "attention",
        frequencies: tuple[float, ...] = (),
        *,
        key: PRNGKeyArray,
        noise: str = "state",
        field_depth: int = 1,
        decoder_depth: int = 1,
        anchored: bool = False,
        forced: tuple[int, ...] | None = None,
        solver: tuple[tuple[str, Any], ...] = (("rtol", 1e-3), ("atol", 1e-4), ("max_steps", 256)),
        covariates: Widths = NO_COVARIATES,
    ):
        keys = jax.random.split(key, 4)
        self.frequencies, self.noise, self.solver = tuple(frequencies), noise, solver
        self.forced = tuple(range(len(frequencies))) if forced is None else tuple(forced)
        self.covariates, told = covariates, covariates.forcing
        self.encoder = ENCODERS[encoder](channels + covariates.read, hidden_size, key=keys[0])
        self.posterior = eqx.nn.Linear(
            hidden_size + 2 * len(frequencies) + told, 2 * latent_size, key=keys[1]
        )
        self.field = ForcedField(
            latent_size,
            hidden_size,
            field_depth,
            len(self.forced),
            len(covariates.felt),
            key=keys[2],
        )
        outputs = 2 * channels if noise == "state" else channels
        self.decoder = eqx.nn.MLP(
            latent_size + told, outputs, hidden_size, decoder_depth, jax.nn.tanh, key=keys[3]
        )
        self.log_std = jnp.full(channels, -1.0, jnp.float32)
        self.level = Level(channels) if anchored else None

    def encode(
        self, context: Context
    ) -> tuple[Float[Array, "batch latent"], Float[Array, "batch latent"]]:
        """Mean and standard deviation of q(z0)."""
        features = jax.vmap(self.encoder)(context.times, *context.observations())
        told = context.exogenous
        features = jnp.concatenate(
            [
                features,
                jnp.cos(context.phase),
                jnp.sin(context.phase),
                *([] if told is None else [told.drive.now(self.covariates)]),
            ],
            axis=1,
        )
        mean, raw = jnp.split(jax.vmap(self.posterior)(features), 2, axis=1)
        return mean, jax.nn.softplus(raw - 1.0) + 1e-4

    def decode(
        self,
        z0: Float[Array, "batch latent"],
        phase: Float[Array, "batch periods"],
        times: Float[Array, "batch times"],
        exogenous: Exogenous | None = None,
    ) -> Prediction:
        """Solve from time 0 through each trajectory's own times, and read the observations off."""
        field, ts, options = self.field, times, dict(self.solver)
        forced = jnp.asarray(self.forced, int)
        args = (jnp.asarray(self.frequencies, z0.dtype)[forced], phase[:, forced])
        if exogenous is not None:
            field, args = DrivenField(field, self.covariates), (*args, exogenous.drive)
            if exogenous.grid is not None:
                options = solver_on(exogenous.grid)
                ts = jnp.concatenate([times, exogenous.grid[:, -1:]], axis=1)
        solution = solve(
            field,
            z0,
            ts,
            args,
            t0=jnp.zeros(times.shape[0], times.dtype),
            batch="independent",
            args_axes=(None, *[0] * (len(args) - 1)),
            on_failure="mask",
            **options,
        )
        latent = states = solution.ys
        if exogenous is not None:
            latent = latent[:, : times.shape[1]]
            told = exogenous.drive.along(times, self.covariates)
            states = jnp.concatenate([latent, told], axis=2)
        output = jax.vmap(jax.vmap(self.decoder))(states)
        mean, raw = jnp.split(output, 2, axis=-1) if self.noise == "state" else (output, 0.0)
        log_std = jnp.clip(self.log_std + raw, LOWEST_LOG_STD, HIGHEST_LOG_STD)
        std = jnp.broadcast_to(jnp.exp(log_std), mean.shape)
        return Prediction(mean, std, latent, solution.stats.nfe)

    def predict(
        self, context: Context, times: Float[Array, "batch times"], key: PRNGKeyArray, samples: int
    ) -> Prediction:
        """Predictions from so many draws of z0; a leading axis of draws on every array."""
        mean, std = self.encode(context)
        noise = jax.random.normal(key, (samples, *mean.shape), mean.dtype)
        given = context.phase, times, context.exogenous
        drawn = jax.lax.map(lambda draw: self.decode(mean + std * draw, *given), noise)
        return self._anchored(drawn, context, times)

    def _anchored(
        self, prediction: Prediction, context: Context, times: Float[Array, "batch times"]
    ) -> Prediction:
        """The prediction around the level of the latest observations, where the model has one."""
        if self.level is None:
            return prediction
        level = jax.vmap(self.level)(context.times, context.values, context.mask, times)
        return eqx.tree_at(lambda one: one.mean, prediction, prediction.mean + level)

    def loss(
        self, context: Context, target: Target, key: PRNGKeyArray, kl_weight: Float[Array, ""]
    ) -> tuple[Float[Array, ""], dict[str, Array]]:
        """The negative ELBO per observed value, and its parts.

        `-E log p(x | z) + kl_weight * KL(q(z0) || N(0, 1))`; Chen et al. (2018), sec. 5.
        """
        mean, std = self.encode(context)
        z0 = mean + std * jax.random.normal(key, mean.shape, mean.dtype)
        prediction = self.decode(z0, context.phase, target.times, context.exogenous)
        prediction = self._anchored(prediction, context, target.times)
        log_likelihood = gaussian_log_likelihood(prediction, target)
        divergence = jnp.sum(0.5 * (mean**2 + std**2 - 1) - jnp.log(std))
        observed = jnp.maximum(jnp.sum(target.mask), 1)
        loss = (-log_likelihood + kl_weight * divergence) / observed
        parts = {
            "log_likelihood": log_likelihood / observed,
            "kl": divergence / mean.shape[0],
            "nfe": jnp.mean(prediction.nfe.astype(jnp.float32)),
        }
        return loss, parts
