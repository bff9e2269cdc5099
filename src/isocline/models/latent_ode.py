"""The latent ODE (Chen et al. 2018, sec. 5): a generative model of irregular time series."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from isocline.nn import ENCODERS, AbstractEncoder, ForcedField, Level
from isocline.ode import solve

from .batch import Context, Prediction, Target
from .exogenous import NO_COVARIATES, DrivenField, Exogenous, Widths, solver_on
from .likelihood import divergence_from_prior, negative_elbo
from .point_process import CountingField, Intensity
from .shooting import TIE, Shooting, shooting_bound
from .together import Knots, solve_together

LOWEST_LOG_STD, HIGHEST_LOG_STD = -5.0, 2.0
SOLVER = (("rtol", 1e-3), ("atol", 1e-4), ("max_steps", 256))


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
        covariates: what drives the field beside the seasons; encoder and decoder are told as well.
        anchored: the mean is what the state says beside a level of the latest observations.
        beside_level: the encoder of an anchored model reads observations less that level as well,
            and is told it; models of before did not.
        intensity: model as well when rows are observed, as a Poisson process (sec. 5.1). Its
            integral runs from time 0 to the last time of the target: that is the end of what was
            watched, and may be a row without observations. Where a solve gives up, all is NaN from
            there on: with the last state instead, the integral would be too small.
        knots: solve all trajectories of a batch together, and read them off between these knots;
            without, each has a solve of its own.
        shooting, tie: train by multiple shooting with so many segments (0: by one solve), tied so
            closely (see `Shooting`).
    """

    encoder: AbstractEncoder
    posterior: eqx.nn.Linear
    field: ForcedField
    decoder: eqx.nn.MLP
    log_std: Float[Array, " channels"]
    level: Level | None
    intensity: Intensity | None
    shooting: Shooting | None
    frequencies: tuple[float, ...] = eqx.field(static=True)
    forced: tuple[int, ...] = eqx.field(static=True)
    beside_level: bool = eqx.field(static=True)
    noise: str = eqx.field(static=True)
    knots: Knots | None = eqx.field(static=True)
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
        beside_level: bool = True,
        forced: tuple[int, ...] | None = None,
        intensity: bool = False,
        knots: Knots | None = None,
        solver: tuple[tuple[str, Any], ...] = SOLVER,
        covariates: Widths = NO_COVARIATES,
        shooting: int = 0,
        tie: float = TIE,
    ):
        keys = jax.random.split(key, 4)
        self.frequencies, self.noise, self.solver = tuple(frequencies), noise, solver
        self.forced = tuple(range(len(frequencies))) if forced is None else tuple(forced)
        self.covariates, self.knots, told = covariates, knots, covariates.forcing
        beside_features = 2 * len(frequencies) + told
        self.beside_level = anchored and beside_level
        # Of a key of its own, so that the other weights are as they were without it.
        beside = jax.random.fold_in(key, 4)
        self.intensity = Intensity(latent_size, hidden_size, key=beside) if intensity else None
        read = channels * (1 + self.beside_level) + covariates.read
        self.encoder = ENCODERS[encoder](read, hidden_size, key=keys[0])
        features = hidden_size + channels * self.beside_level + beside_features
        self.posterior = eqx.nn.Linear(features, 2 * latent_size, key=keys[1])
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
        self.shooting = None
        if shooting:
            self.shooting = Shooting(
                channels,
                latent_size,
                hidden_size,
                shooting,
                beside_features,
                key=jax.random.fold_in(key, 5),
                tie=tie,
            )

    def encode(
        self, context: Context
    ) -> tuple[Float[Array, "batch latent"], Float[Array, "batch latent"]]:
        """Mean and standard deviation of q(z0)."""
        observations, levels = context.observations(), []
        if self.beside_level and self.level is not None:
            # Read beside their level, series that wander look alike wherever they are.
            near = jax.vmap(self.level.near)(context.times, context.values, context.mask)
            observations, levels = context.beside(near), [near]
        features = jax.vmap(self.encoder)(context.times, *observations)
        told = context.exogenous
        features = jnp.concatenate(
            [
                features,
                *levels,
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
        *,
        apart: bool = False,
    ) -> Prediction:
        """Solve from time 0 through each trajectory's own times, and read the observations off.

        Args:
            z0: states at time 0.
            phase, times, exogenous: of each trajectory.
            apart: a solve of its own for each, also of a model with knots.
        """
        z, expected, nfe = self.path(z0, phase, times, exogenous, apart=apart)
        mean, std = self.emit(z, times, exogenous)
        log_rate = None if self.intensity is None else jax.vmap(jax.vmap(self.intensity))(z)
        return Prediction(mean, std, z, nfe, log_rate, expected)

    def emit(
        self,
        z: Float[Array, "batch times latent"],
        times: Float[Array, "batch times"],
        exogenous: Exogenous | None = None,
    ) -> tuple[Float[Array, "batch times channels"], Float[Array, "batch times channels"]]:
        """Mean and standard deviation of the observations at latent states."""
        states = z
        if exogenous is not None:
            states = jnp.concatenate([z, exogenous.drive.along(times, self.covariates)], axis=2)
        output = jax.vmap(jax.vmap(self.decoder))(states)
        mean, raw = jnp.split(output, 2, axis=-1) if self.noise == "state" else (output, 0.0)
        log_std = jnp.clip(self.log_std + raw, LOWEST_LOG_STD, HIGHEST_LOG_STD)
        return mean, jnp.broadcast_to(jnp.exp(log_std), mean.shape)

    def path(
        self,
        z0: Float[Array, "batch latent"],
        phase: Float[Array, "batch periods"],
        times: Float[Array, "batch times"],
        exogenous: Exogenous | None = None,
        *,
        apart: bool = False,
    ) -> tuple[Array, Array | None, Array]:
        """Latent states at the times, the expected number of events if that is modelled, NFE.

        With `apart` each trajectory has a solve of its own, also of a model with knots.
        """
        field, args = self.driven(phase, exogenous)
        y0, ts, options = z0, times, dict(self.solver)
        if exogenous is not None and exogenous.grid is not None:
            options = solver_on(exogenous.grid)
            ts = jnp.concatenate([times, exogenous.grid[:, -1:]], axis=1)
        options |= {"args_axes": (None, *[0] * (len(args) - 1)), "on_failure": "mask"}
        if self.intensity is not None:
            field = CountingField(field, self.intensity)
            y0 = z0, jnp.zeros(len(z0), z0.dtype)
            # An integral that ends early would be a density that is too high.
            options["on_failure"] = "return"
        if self.knots is not None and exogenous is None and not apart:
            ys, nfe = solve_together(field, y0, times, args, self.knots, **options)
        else:
            start = jnp.zeros(times.shape[0], times.dtype)
            solution = solve(field, y0, ts, args, t0=start, batch="independent", **options)
            ys, nfe = solution.ys, solution.stats.nfe
        if ts is not times:
            ys = jax.tree.map(lambda leaf: leaf[:, : times.shape[1]], ys)
        z, expected = (ys, None) if self.intensity is None else ys
        return z, expected, nfe

    def driven(
        self, phase: Float[Array, "batch periods"], exogenous: Exogenous | None = None
    ) -> tuple[Callable[..., Array], tuple[Any, ...]]:
        """The field of one trajectory, and its arguments: the first shared, the others of each."""
        forced = jnp.asarray(self.forced, int)
        args = jnp.asarray(self.frequencies, phase.dtype)[forced], phase[:, forced]
        if exogenous is None:
            return self.field, args
        return DrivenField(self.field, self.covariates), (*args, exogenous.drive)

    def predict(
        self, context: Context, times: Float[Array, "batch times"], key: PRNGKeyArray, samples: int
    ) -> Prediction:
        """Predictions from so many draws of z0; a leading axis of draws on every array."""
        mean, std = self.encode(context)
        noise = jax.random.normal(key, (samples, *mean.shape), mean.dtype)
        given = context.phase, times, context.exogenous
        drawn = jax.lax.map(lambda draw: self.decode(mean + std * draw, *given), noise)
        return self.anchored(drawn, context, times)

    def anchored(
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

        `-E log p(x | z) + kl_weight * KL(q(z0) || N(0, 1))`; Chen et al. (2018), sec. 5. By
        multiple shooting, that of `shooting_bound`.
        """
        mean, std = self.encode(context)
        z0 = mean + std * jax.random.normal(key, mean.shape, mean.dtype)
        if self.shooting is not None:
            drawn = (mean, std), z0
            return shooting_bound(self, drawn, context, target, key, kl_weight)
        return self.bound((mean, std), z0, context, target, kl_weight)

    def bound(
        self,
        posterior: tuple[Float[Array, "batch latent"], Float[Array, "batch latent"]],
        z0: Float[Array, "batch latent"],
        context: Context,
        target: Target,
        kl_weight: Float[Array, ""],
    ) -> tuple[Float[Array, ""], dict[str, Array]]:
        """The same for a draw z0 from a posterior, given by its mean and standard deviation."""
        mean, std = posterior
        prediction = self.decode(z0, context.phase, target.times, context.exogenous)
        prediction = self.anchored(prediction, context, target.times)
        divergence = divergence_from_prior(mean, std)
        return negative_elbo(prediction, target, {"kl": divergence}, kl_weight)
