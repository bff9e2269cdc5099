"""Training a sequence model on the windows of a table."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

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
from isocline.train import Checkpoint, Problem, Settings, Trained, growing_horizon, train

from .anchoring import persistence_of, spans_of, with_doubt, with_persistence
from .building import build_ensemble
from .learning import require_usable
from .preparing import Scaling
from .windows import Rows, Shape, gather_rows, sample_windows, stack_windows, window_at

if TYPE_CHECKING:
    from .forecaster import LatentODEForecaster

VALIDATION_ORIGINS = 12
VALIDATION_WINDOWS = 256
VALIDATION_DRAWS = 8


def train_forecaster(
    forecaster: LatentODEForecaster,
    kind: str,
    scaling: Scaling,
    checkpoint: Checkpoint | None,
    resume: bool,
    progress: Callable[[dict[str, Any]], None] | None,
) -> Trained:
    """Train the ensemble of a forecaster ("latent_ode"), or the GRU beside it ("gru").

    Raises:
        InputError: the loss was not finite in any epoch.
    """
    seen = forecaster.table_.until(forecaster.split_.train_end)
    persistence, spans = persistence_of(seen, scaling), spans_of(seen, scaling)
    model = build_ensemble(forecaster, kind, scaling)
    if kind == "latent_ode" and forecaster.anchored:
        model = with_persistence(model, persistence, spans)
    rows = with_doubt(gather_rows(seen, scaling), persistence, spans)
    trained = train(
        model,
        training_problem(forecaster, scaling, rows),
        Settings(
            epochs=forecaster.epochs,
            patience=forecaster.patience,
            learning_rate=forecaster.learning_rate,
            kl_weight=forecaster.kl_weight,
            average=forecaster.average,
        ),
        seed=forecaster.seed,
        checkpoint=checkpoint,
        resume=resume,
        progress=None if progress is None else lambda row: progress({"stage": kind, **row}),
    )
    extreme = "Look for extreme values in the target columns, or lower the learning rate."
    require_usable(trained, mend=extreme)
    return trained


def training_problem(forecaster: LatentODEForecaster, scaling: Scaling, rows: Rows) -> Problem:
    """Random windows of the training rows, and fixed ones that ask for the validation part.

    Up to a fraction `growth` of the training, the horizon that is asked grows (0: it is whole from
    the start).
    """
    if not len(rows.origins):
        raise InputError(
            "No two training rows of a series lie within one horizon of each other: give a longer "
            "horizon or more rows."
        )
    shape = forecaster.shape_
    frequencies = jnp.asarray(scaling.frequencies, jnp.float32)
    context, target = validation_windows(forecaster.table_, forecaster.split_, scaling, shape)

    # As partials the windows are arguments of the compiled functions; closed over they would be
    # constants that XLA tries to fold. And JAX's partials are equal if their parts are, so that
    # another fit of the same kind compiles nothing.
    return Problem(
        Partial(_sample, shape, forecaster.deletion, rows, frequencies),
        _loss,
        Partial(_validate, context, target),
        growing_horizon(forecaster.growth),
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
    asked_of = [
        (one, origin, asked)
        for origin in origins
        for one in table.series
        if len(
            asked := one.between(
                max(origin, split.train_end), min(origin + scaling.horizon, split.validation_end)
            )
        )
        and one.times[0] <= origin
    ]
    if not asked_of:
        raise InputError(
            "The table is too short to hold a validation part: give more rows or a shorter horizon."
        )
    if len(asked_of) > VALIDATION_WINDOWS:
        chosen = np.random.default_rng(0).choice(len(asked_of), VALIDATION_WINDOWS, replace=False)
        asked_of = [asked_of[index] for index in sorted(chosen)]
    windows = [window_at(one, origin, asked, scaling, shape) for one, origin, asked in asked_of]
    return stack_windows(windows, scaling.covariates)
