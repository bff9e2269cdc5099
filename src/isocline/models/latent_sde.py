"""The latent SDE (Li et al. 2020, arXiv 2001.01328): a latent ODE whose path is random as well."""

from __future__ import annotations

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from isocline.errors import InputError
from isocline.nn import Level, Surroundings

from .batch import Context, Prediction, Target
from .exogenous import Exogenous
from .latent_ode import LatentODE
from .likelihood import divergence_from_prior, negative_elbo
from .shooting import features_at

FIRST_DIFFUSION = 0.3  # per square root of model time
STEPS = 24  # of the solver, a unit of model time
POINTS = 9  # times at which the surroundings are read, from 0 to the last time asked
FARTHEST = 16  # in model time: what lies after it is taken as it


class Control(NamedTuple):
    """What steers a path to the observations: features at evenly spaced times up to the last.

    Attributes:
        features: of each trajectory at its times.
        last: the time of each after which nothing was observed, and nothing steers.
    """

    features: Float[Array, "batch points features"]
    last: Float[Array, " batch"]


class LatentSDE(eqx.Module):
    """`dz = f(z, t) dt + g dW` a priori, and `dz = (f + g u) dt + g dW` given the observations.

    The prior's drift f, encoder and decoder are those of a latent ODE; g is one learnt number a
    component, and the control u(z, what is observed around t) is a network. Written so, the path's
    divergence of Li et al. (2020), eq. 10, is `1/2 E integral |u|^2 dt`: nothing is divided by g.
    A diffusion that does not depend on the state loses little, since a change of variables that
    decoder and drift can learn makes it so (Lamperti's); and Itô and Stratonovich then agree, so
    that Heun's method serves, which is of second order where g is small.

    Forecasts are simulated from the prior; one draw has one z0 and one path.

    Args:
        ode: the latent ODE that it is made of.
        steps: of the solver, a unit of model time.
    """

    ode: LatentODE
    surroundings: Surroundings
    control: eqx.nn.MLP
    log_diffusion: Float[Array, " latent"]
    steps: int = eqx.field(static=True)

    def __init__(self, ode: LatentODE, *, key: PRNGKeyArray, steps: int = STEPS):
        if ode.intensity is not None or ode.shooting is not None:
            raise InputError(
                "A latent SDE is made of a latent ODE without an intensity and without shooting."
            )
        first, second = jax.random.split(key)
        # The posterior gives a mean and a standard deviation of each component.
        latent, hidden = ode.posterior.weight.shape[0] // 2, ode.posterior.weight.shape[1]
        channels = len(ode.log_std)
        self.ode, self.steps = ode, steps
        self.surroundings = Surroundings(channels, hidden, key=first)
        control = eqx.nn.MLP(latent + hidden, latent, hidden, 1, jax.nn.tanh, key=second)
        # The posterior starts as the prior.
        self.control = eqx.tree_at(lambda mlp: mlp.layers[-1], control, replace_fn=_zeros)
        self.log_diffusion = jnp.full(latent, jnp.log(FIRST_DIFFUSION), jnp.float32)

    @property
    def level(self) -> Level | None:
        """Of the latent ODE."""
        return self.ode.level

    def encode(
        self, context: Context
    ) -> tuple[Float[Array, "batch latent"], Float[Array, "batch latent"]]:
        """Mean and standard deviation of q(z0)."""
        return self.ode.encode(context)

    def decode(
        self,
        z0: Float[Array, "batch latent"],
        phase: Float[Array, "batch periods"],
        times: Float[Array, "batch times"],
        exogenous: Exogenous | None = None,
    ) -> Prediction:
        """What the drift alone makes of a state."""
        return self.ode.decode(z0, phase, times, exogenous)

    def predict(
        self, context: Context, times: Float[Array, "batch times"], key: PRNGKeyArray, samples: int
    ) -> Prediction:
        """Predictions from so many draws of z0 and its path; a leading axis on every array."""
        mean, std = self.encode(context)

        def one(key: PRNGKeyArray) -> Prediction:
            first, second = jax.random.split(key)
            z0 = mean + std * jax.random.normal(first, mean.shape, mean.dtype)
            return self._emitted(self.path(z0, context, times, second), context, times)[0]

        drawn = jax.lax.map(one, jax.random.split(key, samples))
        return self.ode.anchored(drawn, context, times)

    def loss(
        self, context: Context, target: Target, key: PRNGKeyArray, kl_weight: Float[Array, ""]
    ) -> tuple[Float[Array, ""], dict[str, Array]]:
        """The negative ELBO per observed value, and its parts; Li et al. (2020), sec. 5.

        "path_kl" among the parts is the divergence of the path, and "kl" that of z0, which the
        context alone tells: it is that of forecasts.
        """
        mean, std = self.encode(context)
        first, second = jax.random.split(key)
        z0 = mean + std * jax.random.normal(first, mean.shape, mean.dtype)
        last = target.times[:, -1]
        points = last[:, None] * jnp.linspace(0, 1, POINTS, dtype=last.dtype)
        features = features_at(self.surroundings, self.ode, context, target, points)
        path = self.path(z0, context, target.times, second, Control(features, last))
        prediction, path_kl = self._emitted(path, context, target.times)
        prediction = self.ode.anchored(prediction, context, target.times)
        divergences = {"kl": divergence_from_prior(mean, std), "path_kl": path_kl}
        return negative_elbo(prediction, target, divergences, kl_weight)

    def _emitted(
        self,
        path: tuple[Float[Array, "batch times state"], Float[Array, ""], Array],
        context: Context,
        times: Float[Array, "batch times"],
    ) -> tuple[Prediction, Float[Array, ""]]:
        """The prediction without a level, and the divergence of the path."""
        z, path_kl, nfe = path
        return Prediction(*self.ode.emit(z, times, context.exogenous), z, nfe), path_kl

    def path(
        self,
        z0: Float[Array, "batch latent"],
        context: Context,
        times: Float[Array, "batch times"],
        key: PRNGKeyArray,
        control: Control | None = None,
    ) -> tuple[Float[Array, "batch times latent"], Float[Array, ""], Array]:
        """One path of each trajectory at its times, its divergence from the prior, and NFE.

        Steps are equal, of length 1 / steps; between them the path is straight. All trajectories
        take them together, and beside each goes its divergence.

        Args:
            z0: where the paths start.
            context: seasons and covariates.
            times: from 0 on.
            key: of the Brownian motion.
            control: steer by it; None: a path of the prior.

        Raises:
            InputError: Diffrax is not installed.
        """
        field, args = self.ode.driven(context.phase, context.exogenous)
        slope = jax.vmap(field, in_axes=(None, 0, (None, *[0] * (len(args) - 1))))
        diffusion = jnp.exp(self.log_diffusion)

        def drift(t: Array, y: Array, args: Any) -> Array:
            z = y[:, :-1]
            args, control, _ = args
            velocity = slope(t, z, args)
            if control is None:
                return jnp.pad(velocity, ((0, 0), (0, 1)))
            u = self._steer(t, z, control)
            cost = 0.5 * jnp.sum(u**2, axis=1, keepdims=True)
            return jnp.concatenate([velocity + diffusion * u, cost], axis=1)

        times = jnp.minimum(times, FARTHEST)
        end = jnp.ceil(jnp.max(times) * self.steps) / self.steps
        given, clock = (args, control), (end, self.steps)
        ys, path_kl, taken = _simulate(drift, diffusion, z0, given, clock, key)
        # Straight lines as products with matrices, whose gradients are such as well.
        knots = jnp.arange(len(ys), dtype=times.dtype)
        near = jnp.maximum(1 - jnp.abs(times[..., None] * self.steps - knots), 0)
        z = jnp.einsum("btk,kbl->btl", near, ys)
        return z, jnp.sum(path_kl), jnp.full(len(z0), 2 * taken)

    def _steer(
        self, t: Array, z: Float[Array, "batch latent"], control: Control
    ) -> Float[Array, "batch latent"]:
        """The control u of all trajectories at a time."""
        points = control.features.shape[1] - 1
        place = jnp.minimum(t / jnp.maximum(control.last, 1e-6), 1.0) * points
        near = jnp.maximum(1 - jnp.abs(place[:, None] - jnp.arange(points + 1)), 0)
        features = jnp.einsum("bp,bpf->bf", near, control.features)
        u = jax.vmap(self.control)(jnp.concatenate([z, features], axis=1))
        return jnp.where((t < control.last)[:, None], u, 0)


def _zeros(layer: eqx.nn.Linear) -> eqx.nn.Linear:
    return jax.tree.map(jnp.zeros_like, layer)


def _simulate(
    drift: Any,
    diffusion: Float[Array, " latent"],
    z0: Float[Array, "batch latent"],
    args: Any,
    clock: tuple[Float[Array, ""], int],
    key: PRNGKeyArray,
) -> tuple[Float[Array, "points batch latent"], Float[Array, " batch"], Array]:
    """States at 0, 1 / steps, ... up to an end and zeros after it; divergences; steps taken.

    The Brownian motion is drawn at the times of the steps, which are known, and handed to Diffrax
    as a path: its `VirtualBrownianTree` would find the same increments in ten times the work, and
    its `UnsafeBrownianPath` has no reverse mode.
    """
    diffrax, lineax = require_diffrax()
    end, steps = clock
    most = FARTHEST * steps
    # The divergence is the last column, without noise.
    y0, scale = jnp.pad(z0, ((0, 0), (0, 1))), jnp.pad(diffusion, (0, 1))
    walk = jnp.cumsum(jax.random.normal(key, (most + 1, *y0.shape), z0.dtype), axis=0)
    knots = jnp.arange(most + 1, dtype=z0.dtype) / steps
    noise = diffrax.LinearInterpolation(knots, steps**-0.5 * walk)
    states = diffrax.SubSaveAt(t0=True, steps=True, fn=lambda _t, y, _args: y[:, :-1])
    divergence = diffrax.SubSaveAt(t1=True, fn=lambda _t, y, _args: y[:, -1])

    def spread(_t: Array, y: Array, args: Any) -> Any:
        return lineax.DiagonalLinearOperator(jnp.broadcast_to(args[-1], y.shape))

    solution = diffrax.diffeqsolve(
        diffrax.MultiTerm(diffrax.ODETerm(drift), diffrax.ControlTerm(spread, noise)),
        diffrax.Heun(),
        t0=0.0,
        t1=end,
        dt0=1.0 / steps,
        y0=y0,
        args=(*args, scale),
        saveat=diffrax.SaveAt(subs=(states, divergence)),
        max_steps=most,
        # What is usually asked is kept whole; more than that is computed again.
        adjoint=diffrax.RecursiveCheckpointAdjoint(checkpoints=2 * steps),
    )
    z, path_kl = solution.ys
    taken = solution.stats["num_steps"]
    reached = jnp.arange(len(z)) <= taken
    return jnp.where(reached[:, None, None], z, 0), path_kl[0], taken


def require_diffrax() -> tuple[Any, Any]:
    """Diffrax and the Lineax that it brings; InputError says how to get them."""
    try:
        import diffrax
        import lineax
    except ImportError as error:
        raise InputError(
            "dynamics='sde': a latent SDE is solved by Diffrax, which is not installed: "
            "pip install 'isocline[diffrax]'; or take dynamics='ode', which needs nothing."
        ) from error
    return diffrax, lineax
