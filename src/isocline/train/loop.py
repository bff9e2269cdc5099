"""The training loop: epochs of compiled steps, early stopping, checkpoints, and exact resume.

All randomness of a step comes from folding its number into the seed, so a resumed run takes the
very steps that the uninterrupted one would have taken.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, PRNGKeyArray

from .checkpoint import Checkpoint
from .optimizers import optimizer


@dataclass(frozen=True)
class Settings:
    """How to train.

    Attributes:
        epochs, steps: at most so many epochs of so many steps.
        learning_rate: the peak; it warms up over the first twentieth and falls by a cosine.
        optimizer: of `OPTIMIZERS`; "muon" is what densities are learnt with.
        weight_decay: of the optimizer.
        clip: largest global norm of a gradient.
        patience: stop after so many epochs without a better validation score (None: never).
        kl_weight, anneal: the weight of the KL term, reached linearly over this fraction of all
            steps.
        average: decay of the running average of the weights that validation and forecasts use (0:
            none).
        catch_up: the average soon forgets the untrained weights: its decay is at most
            (1 + n) / (10 + n) in step n.
        together: steps that are compiled into one call; an epoch's if None. One by one suits steps
            of a tenth of a second and more, whose operations may be faster outside of a loop.
    """

    epochs: int = 60
    steps: int = 50
    learning_rate: float = 3e-3
    optimizer: str = "adamw"
    weight_decay: float = 1e-3
    clip: float = 1.0
    patience: int | None = 15
    kl_weight: float = 1.0
    anneal: float = 0.2
    average: float = 0.0
    catch_up: bool = False
    together: int | None = None


class Problem(NamedTuple):
    """What to train on.

    Large arrays belong into a `jax.tree_util.Partial`, so that they are arguments of what is
    compiled. Where functions, and what partials hold beside arrays, are the same again, another
    training compiles nothing.

    Attributes:
        sample: `sample(key) -> batch`, or with an order `sample(key, entry) -> batch`.
        loss: `loss(model, batch, key, kl_weight) -> (value, parts)`.
        validate: `validate(model) -> score`, lower is better; or the score and a dict of more
            numbers for the history.
        curriculum: `curriculum(batch, progress) -> batch`, what is shown of a batch when so much of
            the training (0 to 1) is done; all of it without.
        order: `order(key) -> entries`, drawn anew for each epoch outside of what is compiled:
            arrays with one entry a step, as the indices of its examples, where each is to be seen
            once.
    """

    sample: Callable[..., Any]
    loss: Callable[[Any, Any, PRNGKeyArray, Array], tuple[Array, dict[str, Array]]]
    validate: Callable[[Any], Array | tuple[Array, dict[str, Array]]]
    curriculum: Callable[[Any, Array], Any] | None = None
    order: Callable[[PRNGKeyArray], Any] | None = None


class Trained(NamedTuple):
    """The best model by validation, what happened on the way, and the model of the last epoch."""

    model: Any
    history: list[dict[str, float]]
    best_epoch: int
    last: Any


class _State(NamedTuple):
    """All arrays of a run: everything that a resumed run needs."""

    model: Any
    average: Any
    best: Any
    optimizer: Any


def train(
    model: Any,
    problem: Problem,
    settings: Settings,
    *,
    seed: int,
    checkpoint: Checkpoint | None = None,
    resume: bool = False,
    progress: Callable[[dict[str, Any]], None] | None = None,
) -> Trained:
    """Train a model, and give back its best state by validation score (lower is better).

    Args:
        model: an Equinox module.
        problem: batches, loss and validation.
        settings: how long and how fast.
        seed: of batches and noise.
        checkpoint: where to keep the state after every epoch.
        resume: go on from the checkpoint, if there is one, exactly where it stopped.
        progress: called after each epoch with epoch, epochs, loss, validation, nfe and seconds.
    """
    begin = _optimizer(settings).init
    state = _State(model, model, model, begin(eqx.filter(model, eqx.is_inexact_array)))
    notes: dict[str, Any] = {"epoch": 0, "best": None, "best_epoch": 0, "history": []}
    if checkpoint is not None and resume and checkpoint.exists():
        state, notes = checkpoint.read(state)
    elif checkpoint is not None:
        checkpoint.write(state, notes)
    run_epoch = _epoch_function(problem, settings)
    validate = eqx.filter_jit(problem.validate)
    while notes["epoch"] < settings.epochs and not _stalled(notes, settings):
        began = time.perf_counter()
        epoch = notes["epoch"]
        key = jax.random.fold_in(jax.random.key(seed), epoch)
        state, parts = run_epoch(state, key, jnp.asarray(epoch))
        row = {name: float(value) for name, value in parts.items()}
        row |= {"epoch": epoch + 1} | _validated(validate(state.average))
        row |= {"seconds": time.perf_counter() - began}
        state, notes = _noted(state, notes, row)
        if checkpoint is not None:
            checkpoint.write(state, notes)
        if progress is not None:
            progress({**row, "epochs": settings.epochs, "best_epoch": notes["best_epoch"]})
    return Trained(state.best, notes["history"], notes["best_epoch"], state.average)


def _validated(found: Any) -> dict[str, float]:
    """The score, and what else validation tells."""
    score, more = found if isinstance(found, tuple) else (found, {})
    return {"validation": float(score)} | {name: float(value) for name, value in more.items()}


def _noted(
    state: _State, notes: dict[str, Any], row: dict[str, Any]
) -> tuple[_State, dict[str, Any]]:
    """State and notes after an epoch: the weights are kept if none before were better."""
    score, epoch = row["validation"], row["epoch"]
    notes = notes | {"epoch": epoch, "history": [*notes["history"], row]}
    if math.isfinite(score) and (notes["best"] is None or score < notes["best"]):
        state = state._replace(best=state.average)
        notes |= {"best": score, "best_epoch": epoch}
    return state, notes


def _stalled(notes: dict[str, Any], settings: Settings) -> bool:
    return (
        settings.patience is not None and notes["epoch"] - notes["best_epoch"] > settings.patience
    )


def _optimizer(settings: Settings) -> optax.GradientTransformation:
    return optimizer(
        settings.optimizer,
        learning_rate=settings.learning_rate,
        total=settings.epochs * settings.steps,
        clip=settings.clip,
        weight_decay=settings.weight_decay,
    )


def _epoch_function(
    problem: Problem, settings: Settings
) -> Callable[[_State, PRNGKeyArray, Array], tuple[_State, dict[str, Array]]]:
    """One epoch of compiled scans."""
    together = min(settings.together or settings.steps, settings.steps)

    def run_epoch(
        state: _State, key: PRNGKeyArray, epoch: Array
    ) -> tuple[_State, dict[str, Array]]:
        numbers = jnp.arange(settings.steps)
        # Steps fold their numbers into the key: the first that none of them has is the order's.
        own = jax.random.fold_in(key, settings.steps)
        entries = () if problem.order is None else (problem.order(own),)
        parts_of = problem.sample, problem.curriculum, problem.loss
        sums = None
        for first in range(0, settings.steps, together):
            some = slice(first, first + together)
            drawn = jax.tree.map(lambda entry, some=some: entry[some], entries)
            turns = numbers[some], *drawn
            state, parts = _run_steps(settings, parts_of, state, key, epoch, turns)
            sums = parts if sums is None else jax.tree.map(jnp.add, sums, parts)
        return state, jax.tree.map(lambda value: value / settings.steps, sums)

    return run_epoch


@eqx.filter_jit
def _run_steps(
    settings: Settings,
    parts_of: tuple[Callable, Callable | None, Callable],
    state: _State,
    key: PRNGKeyArray,
    epoch: Array,
    turns: tuple,
) -> tuple[_State, dict[str, Array]]:
    """A scan of steps; one with a non-finite gradient changes nothing.

    Of the module, and not made anew for each training: another of the same kind compiles nothing.
    """
    sample, curriculum, loss = parts_of
    total = settings.epochs * settings.steps
    update = _optimizer(settings).update
    compute = eqx.filter_value_and_grad(loss, has_aux=True)
    arrays, static = eqx.partition(state, eqx.is_array)

    def step(arrays, turn):
        number, *entry = turn
        state = eqx.combine(arrays, static)
        batch_key, loss_key = jax.random.split(jax.random.fold_in(key, number))
        done = epoch * settings.steps + number
        progress = done / total
        batch = sample(batch_key, *entry)
        if curriculum is not None:
            batch = curriculum(batch, progress)
        weight = settings.kl_weight * jnp.minimum(progress / max(settings.anneal, 1 / total), 1)
        (value, parts), gradient = compute(state.model, batch, loss_key, weight)
        fine = jnp.isfinite(optax.tree.norm(gradient)) & jnp.isfinite(value)
        updates, following = update(
            gradient, state.optimizer, eqx.filter(state.model, eqx.is_inexact_array)
        )
        model = eqx.apply_updates(state.model, updates)
        average = _blend(state.average, model, _decay(settings, done))
        moved = state._replace(model=model, average=average, optimizer=following)
        moved = eqx.filter(moved, eqx.is_array)
        kept = jax.tree.map(lambda new, old: jnp.where(fine, new, old), moved, arrays)
        return kept, {"loss": value, "skipped": 1.0 - fine, **parts}

    if min(settings.together or settings.steps, settings.steps) == 1:
        arrays, parts = step(arrays, jax.tree.map(lambda turn: turn[0], turns))
    else:
        arrays, parts = jax.lax.scan(step, arrays, turns)
    return eqx.combine(arrays, static), jax.tree.map(jnp.sum, parts)


def _decay(settings: Settings, step: Array) -> Array | float:
    """How much of the average stays in a step."""
    if not settings.catch_up:
        return settings.average
    return jnp.minimum(settings.average, (1 + step) / (10 + step))


def _blend(average: Any, model: Any, decay: Array | float) -> Any:
    """The running average of the weights."""
    arrays, static = eqx.partition(model, eqx.is_inexact_array)
    old = eqx.filter(average, eqx.is_inexact_array)
    return eqx.combine(jax.tree.map(lambda a, b: decay * a + (1 - decay) * b, old, arrays), static)
