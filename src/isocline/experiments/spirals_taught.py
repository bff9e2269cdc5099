"""How the plain RNNs of the spirals are taught: to say the next observation, beside the roll.

Trained on nothing but the roll through the whole continuation, 25 tanh units do not learn from 50
or 100 points: the gradient through a hundred and more of their steps says too little. To predict
the next observation from all before it (teacher forcing, Williams & Zipser 1989) needs no such
path, and a roll that grows longer in training builds on it.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from isocline.models import Context, GRUForecaster, Prediction, Target
from isocline.models.likelihood import gaussian_log_likelihood


def taught_loss(
    model: GRUForecaster,
    batch: tuple[Context, Target],
    key: Array,
    kl_weight: Float[Array, ""],
) -> tuple[Float[Array, ""], dict[str, Array]]:
    """The loss of the roll, and the negative log-likelihood of each next value that was read."""
    context, target = batch
    rolled, parts = model.loss(context, target, key, kl_weight)
    told, following = one_ahead(model, context)
    taught = gaussian_log_likelihood(told, following)
    return rolled - taught / jnp.maximum(jnp.sum(following.mask), 1), parts


def one_ahead(model: GRUForecaster, context: Context) -> tuple[Prediction, Target]:
    """What an RNN without seasons and covariates says of each observation before it reads it.

    Args:
        model: the RNN.
        context: rising times, padded at the end.

    Returns:
        The prediction, and what was observed: of each trajectory, all but the first.
    """

    def one(times: Array, values: Array, mask: Array) -> tuple[Array, Array]:
        gaps = jnp.diff(times, prepend=times[:1]) * model.gaps

        def read(hidden: Array, row: tuple[Array, ...]) -> tuple[Array, Array]:
            gap, seen, known = row
            said = model.readout(jnp.concatenate([hidden, gap[None]]))
            entry = jnp.concatenate([seen * known, known, gap[None]])
            return jnp.where(known.any(), model.cell(entry, hidden), hidden), said

        start = jnp.zeros(model.cell.hidden_size, times.dtype)
        _, said = jax.lax.scan(read, start, (gaps, values, mask))
        mean, raw = jnp.split(said[1:], 2, axis=-1)
        return mean, jnp.exp(jnp.clip(raw - 1.0, -5.0, 2.0))

    mean, std = jax.vmap(one)(context.times, context.values, context.mask)
    nothing = jnp.zeros((*mean.shape[:2], 0), mean.dtype)
    prediction = Prediction(mean, std, nothing, jnp.zeros(len(mean)))
    target = Target(context.times[:, 1:], context.values[:, 1:], context.mask[:, 1:])
    return prediction, target
