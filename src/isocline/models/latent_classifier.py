"""A latent ODE that also says what class a trajectory belongs to (Rubanova et al. 2019, sec. 4)."""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from .batch import Context, Target
from .latent_ode import LatentODE


class LatentClassifier(eqx.Module):
    """The latent state at time 0 is read by the decoder of a latent ODE, and by a classifier.

    Args:
        latent: the latent ODE.
        classes: how many.
        hidden_size: of the classifier's one hidden layer.
        weight: of a trajectory's cross entropy beside the negative ELBO of a single value. (Beside
            that of all its values, it would hardly count.)
    """

    latent: LatentODE
    head: eqx.nn.MLP
    weight: float = eqx.field(static=True)

    def __init__(
        self,
        latent: LatentODE,
        classes: int = 2,
        hidden_size: int = 32,
        *,
        key: PRNGKeyArray,
        weight: float = 1.0,
    ):
        size = latent.field.linear.shape[0]
        self.latent, self.weight = latent, weight
        self.head = eqx.nn.MLP(size, classes, hidden_size, 1, jax.nn.tanh, key=key)

    def predict_proba(
        self, context: Context, key: PRNGKeyArray, samples: int
    ) -> Float[Array, "batch classes"]:
        """Probabilities of the classes: means over so many draws of the latent state."""
        mean, std = self.latent.encode(context)
        noise = jax.random.normal(key, (samples, *mean.shape), mean.dtype)
        logits = jax.vmap(jax.vmap(self.head))(mean + std * noise)
        return jnp.mean(jax.nn.softmax(logits), axis=0)

    def loss(
        self,
        context: Context,
        target: Target,
        labels: Int[Array, " batch"],
        key: PRNGKeyArray,
        kl_weight: Float[Array, ""],
    ) -> tuple[Float[Array, ""], dict[str, Array]]:
        """The negative ELBO per observed value and the weighted mean cross entropy; their parts."""
        mean, std = self.latent.encode(context)
        z0 = mean + std * jax.random.normal(key, mean.shape, mean.dtype)
        loss, parts = self.latent.bound((mean, std), z0, context, target, kl_weight)
        chances = jax.nn.log_softmax(jax.vmap(self.head)(z0))
        entropy = -jnp.mean(jnp.take_along_axis(chances, labels[:, None], axis=1))
        return loss + self.weight * entropy, parts | {"cross_entropy": entropy}
