"""Training a density stage by stage: each goes on from the best that was learnt before it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from isocline.train import Checkpoint, Problem, Settings, train

from .density_training import Points
from .learning import require_usable

FEWEST_STEPS = 20  # of an epoch


class Stage(NamedTuple):
    """A part of the training.

    Attributes:
        name: of the stage, and of its checkpoint.
        epochs, average: see `isocline.train.Settings`.
        rate: of its learning rate to the estimator's.
        optimizer: see `isocline.train.Settings`.
        problem: of training and held-out points, with so many steps an epoch.
    """

    name: str
    epochs: int
    average: float
    rate: float
    optimizer: str
    problem: Callable[[Points, Points, int], Problem]


class Course(NamedTuple):
    """What all stages share; see `ContinuousFlow`."""

    learning_rate: float
    batch_size: int
    patience: int | None
    seed: int


def learn_stages(
    network: Any,
    stages: Sequence[Stage],
    training: Points,
    validation: Points,
    course: Course,
    *,
    checkpoints: Callable[[str], Checkpoint | None],
    resume: bool,
    progress: Callable[[dict[str, Any]], None] | None,
) -> tuple[Any, list[dict[str, Any]]]:
    """The network that was best on the held-out points, and what happened in every epoch.

    Args:
        network: untrained.
        stages: one after the other.
        training, validation: apart from each other.
        course: what all stages share.
        checkpoints: of a stage by its name, where the state of training is kept.
        resume: go on from there.
        progress: called with a row after every epoch.

    Raises:
        InputError: the likelihood was not finite in any epoch of a stage.
    """
    steps = max(len(training.y) // course.batch_size, FEWEST_STEPS)
    history: list[dict[str, Any]] = []
    best = np.inf
    for stage in stages:
        trained = train(
            network,
            stage.problem(training, validation, steps),
            _settings(stage, course, steps),
            seed=course.seed,
            checkpoint=checkpoints(stage.name),
            resume=resume,
            progress=_with_stage(progress, stage.name),
        )
        require_usable(trained, "likelihood")
        score = trained.history[trained.best_epoch - 1]["validation"]
        # A stage may also make worse what the one before has learnt.
        if score <= best:
            network, best = trained.model, score
        history += [row | {"stage": stage.name} for row in trained.history]
    return network, history


def _settings(stage: Stage, course: Course, steps: int) -> Settings:
    return Settings(
        epochs=stage.epochs,
        steps=steps,
        learning_rate=course.learning_rate * stage.rate,
        optimizer=stage.optimizer,
        weight_decay=1e-5,
        clip=10.0,
        patience=course.patience,
        average=stage.average,
        catch_up=True,
    )


def _with_stage(
    progress: Callable[[dict[str, Any]], None] | None, stage: str
) -> Callable[[dict[str, Any]], None] | None:
    return None if progress is None else lambda row: progress(row | {"stage": stage})
