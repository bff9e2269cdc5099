"""Training a density: batches of standardised points, by flow matching or by likelihood."""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial
from jaxtyping import Array, Float, PRNGKeyArray

from isocline.models.flow import Flow
from isocline.models.flow_losses import Learning, flow_matching, negative_log_likelihood
from isocline.models.planar import PlanarFlow
from isocline.train import Problem

TOGETHER = 64  # points that an optimal transport pairs: 0.1 ms, where 256 take 10
OTHERS = 2048  # rows whose lines are averaged: fewer leave noise, these cost half a step more
MOST_VALIDATED = 1000  # rows: after every epoch of flow matching they cost as much as the epoch


class Points(NamedTuple):
    """Standardised points and their contexts, row by row."""

    y: Float[np.ndarray, "rows size"]
    context: Float[np.ndarray, "rows context"]


def density_problem(
    train: Points,
    validation: Points,
    learning: Learning,
    *,
    batch_size: int,
    steps: int,
    matching: bool,
    coupling: bool,
) -> Problem:
    """The problem of one stage of training; validation is by likelihood in both.

    Args:
        train, validation: apart from each other.
        learning: how a flow is solved.
        batch_size, steps: of an epoch.
        matching: learn by flow matching, not by likelihood.
        coupling: pair noise and data by optimal transport in flow matching.
    """
    held = Points(*(part[:MOST_VALIDATED] for part in validation))
    # Points of different contexts have no velocity in common, nor have pairs that were chosen.
    shared = matching and not (coupling or train.context.shape[1])
    others = min(OTHERS, len(train.y)) if shared else 0
    order = partial(_order, train.y, batch_size, steps, matching, coupling)
    return Problem(
        Partial(partial(_sample, others), *map(_single, train)),
        _matching_loss if matching else Partial(_likelihood_loss, learning),
        Partial(partial(_validate, learning), *map(_single, held)),
        order=order,
    )


def _single(array: np.ndarray) -> Array:
    return jnp.asarray(array, jnp.float32)


def _order(
    y: np.ndarray, batch_size: int, steps: int, matching: bool, coupling: bool, key: PRNGKeyArray
) -> tuple[Any, ...]:
    """The indices of an epoch's batches, every row as often as any other, and their noise."""
    draw = np.random.default_rng(np.asarray(jax.random.bits(key, (4,))))
    wanted = steps * batch_size
    turns = [draw.permutation(len(y)) for _ in range(-(-wanted // len(y)))]
    indices = np.concatenate(turns)[:wanted]
    if not matching:
        return (jnp.asarray(indices.reshape(steps, -1)),)
    noise = draw.standard_normal((wanted, y.shape[1]), np.float32)
    if coupling:
        noise = _coupled(noise, y, indices)
    return jnp.asarray(indices.reshape(steps, -1)), jnp.asarray(
        noise.reshape(steps, batch_size, -1)
    )


def _coupled(noise: np.ndarray, y: np.ndarray, indices: np.ndarray) -> np.ndarray:
    """The noise in the order in which it is nearest to the points, so many at a time."""
    from scipy.optimize import linear_sum_assignment
    from scipy.spatial.distance import cdist

    paired = np.empty_like(noise)
    for first in range(0, len(noise), TOGETHER):
        some = slice(first, first + TOGETHER)
        costs = cdist(y[indices[some]], noise[some], "sqeuclidean")
        paired[some] = noise[some][linear_sum_assignment(costs)[1]]
    return paired


def _sample(
    others: int, y: Array, context: Array, key: PRNGKeyArray, entry: tuple[Array, ...]
) -> Any:
    indices, *noise = entry
    batch = (y[indices], context[indices], *noise)
    return (*batch, y[jax.random.randint(key, (others,), 0, len(y))]) if others else batch


def _matching_loss(
    model: Flow,
    batch: Any,
    key: PRNGKeyArray,
    weight: Array,  # noqa: ARG001 - no annealing
) -> tuple[Array, dict[str, Array]]:
    y, context, noise, *others = batch
    return flow_matching(model, y, noise, context, key, others=others[0] if others else None), {}


def _likelihood_loss(
    learning: Learning,
    model: Flow | PlanarFlow,
    batch: Any,
    key: PRNGKeyArray,
    weight: Array,  # noqa: ARG001 - no annealing
) -> tuple[Array, dict[str, Array]]:
    y, context = batch
    return negative_log_likelihood(model, y, context, learning, key)


def _validate(
    learning: Learning, y: Array, context: Array, model: Flow | PlanarFlow
) -> tuple[Array, dict[str, Array]]:
    """-log p of the held-out points with the exact trace."""
    if isinstance(model, PlanarFlow):
        return -jnp.mean(model.log_prob(y, context)), {}
    found, moved = model.log_prob(y, context, solving=learning.solving)
    return -jnp.mean(found), {"validation_nfe": moved.nfe.astype(jnp.float32)}
