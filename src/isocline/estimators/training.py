"""Training a sequence model on the windows of a table."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial
from jaxtyping import Array

from isocline.data import SeriesTable
from isocline.errors import InputError
from isocline.evaluation.windows import Split
from isocline.models import Context, Target
from isocline.models.likelihood import gaussian_crps
from isocline.train import Problem, growing_horizon

from .preparing import Scaling
from .windows import Rows, Shape, gather_rows, sample_windows, stack_windows, window_at

VALIDATION_ORIGINS = 12
VALIDATION_WINDOWS = 256
VALIDATION_DRAWS = 8


def training_problem(
    table: SeriesTable, split: Split, scaling: Scaling, shape: Shape, deletion: float, growth: float
) -> Problem:
    """Random windows of the training rows, and fixed ones that ask for the validation part.

    Up to a fraction `growth` of the training, the horizon that is asked grows (0: it is whole from
    the start).
    """
    rows = gather_rows(table.until(split.train_end), scaling)
    if not len(rows.origins):
        raise InputError(
            "No two training rows of a series lie within one horizon of each other: give a longer "
            "horizon or more rows."
        )
    frequencies = jnp.asarray(scaling.frequencies, jnp.float32)
    context, target = validation_windows(table, split, scaling, shape)

    # As partials the windows are arguments of the compiled functions; closed over they would be
    # constants that XLA tries to fold. And JAX's partials are equal if their parts are, so that
    # another fit of the same kind compiles nothing.
    return Problem(
        Partial(_sample, shape, deletion, rows, frequencies),
        _loss,
        Partial(_validate, context, target),
        growing_horizon(growth),
    )


def _sample(
    shape: Shape, deletion: float, rows: Rows, frequencies: Array, key: Array
) -> tuple[Context, Target]:
    return sample_windows(rows, frequencies, shape, deletion, key)


def _loss(model: Any, batch: tuple[Context, Target], key: Array, kl_weight: Array):
    return model.loss(*batch, key, kl_weight)


def _validate(context: Context, target: Target, model: Any) -> Array:
    prediction = model.predict(context, target.times, jax.random.key(0), VALIDATION_DRAWS)
    return gaussian_crps(prediction, target)


def validation_windows(
    table: SeriesTable, split: Split, scaling: Scaling, shape: Shape
) -> tuple[Context, Target]:
    """Windows from evenly spaced origins; only rows of the validation part are asked."""
    earliest = max(split.train_end - scaling.horizon / 2, min(one.times[0] for one in table.series))
    origins = np.linspace(earliest, split.validation_end, VALIDATION_ORIGINS, endpoint=False)
    windows = [
        window_at(one, origin, asked, scaling, shape)
        for origin in origins
        for one in table.series
        if len(
            asked := one.between(
                max(origin, split.train_end), min(origin + scaling.horizon, split.validation_end)
            )
        )
        and one.times[0] <= origin
    ]
    if not windows:
        raise InputError(
            "The table is too short to hold a validation part: give more rows or a shorter horizon."
        )
    if len(windows) > VALIDATION_WINDOWS:
        chosen = np.random.default_rng(0).choice(len(windows), VALIDATION_WINDOWS, replace=False)
        windows = [windows[index] for index in sorted(chosen)]
    return stack_windows(windows, scaling.covariates)
