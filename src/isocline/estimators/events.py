"""Rates of events over time, learnt from when they happened (Chen et al. 2018, sec. 5.1)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Self

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial
from jaxtyping import Array, ArrayLike, Bool, Float

from isocline.errors import InputError
from isocline.models import Context, Knots, LatentODE, Prediction, Target, poisson_log_likelihood
from isocline.models.likelihood import divergence_from_prior
from isocline.train import Problem, Settings, train

from .checking import check_event_intensity, is_positive, is_whole
from .settings import Configured
from .storing import filled, leaves_of, read_model, refusing_damage, write_model

KIND = "EventIntensity"
KNOTS = Knots(1.0, 48)
# The expected number grows without bound: the tolerance is relative to it.
SOLVER = (("rtol", 1e-4), ("atol", 1e-5), ("max_steps", 256))
DRAWS = 32
FEWEST_STEPS = 20  # of an epoch, however few sequences there are
LEAST_ROOM = 16  # for events of a sequence that is asked about, and for times
NO_SEASON = 0


class EventIntensity(Configured):
    """Sequences of events as Poisson processes, each with a rate that a latent ODE drives.

    An encoder reads when the events of a sequence were and how many, the ODE is solved over the
    time that was watched, and the rate is a function of its state:
    `log p = sum log rate(t_i) - integral of the rate`. A sequence has a rate of its own; that of an
    unknown sequence is the mean over the prior.

    Args:
        encoder: a name of `isocline.nn.ENCODERS`.
        latent_size, hidden_size: of the latent state, and of the networks.
        epochs, batch_size, learning_rate: of training; the epoch is chosen on a part of the
            sequences that is held out.
        kl_weight: of the bound's second term.
        validation: the share that is held out.
        seed: of everything random.

    Attributes:
        model_, history_, best_epoch_, end_: after `fit`.
    """

    def __init__(
        self,
        *,
        encoder: str = "attention",
        latent_size: int = 4,
        hidden_size: int = 32,
        epochs: int = 60,
        batch_size: int = 32,
        learning_rate: float = 5e-3,
        kl_weight: float = 1.0,
        validation: float = 0.2,
        seed: int = 0,
    ):
        self.encoder = encoder
        self.latent_size = latent_size
        self.hidden_size = hidden_size
        self.epochs = epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.kl_weight = kl_weight
        self.validation = validation
        self.seed = seed

    def fit(
        self,
        sequences: Sequence[ArrayLike],
        end: float,
        *,
        progress: Callable[[dict[str, Any]], None] | None = None,
    ) -> Self:
        """Learn the rates.

        Args:
            sequences: the times of the events of each, from 0 to `end` and in any order; a sequence
                may have none.
            end: how long each was watched.
            progress: called after every epoch.

        Raises:
            InputError: a time or a setting does not fit; the message says which.
        """
        check_event_intensity(self.get_params())
        if not is_positive(end):
            raise InputError(f"end={end!r} must be a positive number.")
        events = _padded(sequences, float(end))
        if len(events[0]) < 2 or not events[1].any():
            raise InputError("Give at least two sequences, and an event in one of them.")
        order = np.random.default_rng(self.seed).permutation(len(events[0]))
        held = min(max(round(self.validation * len(order)), 1), len(order) - 1)
        times, there = events
        kept = jnp.asarray(order[held:])
        validation = _asked(times[order[:held]], there[order[:held]])
        trained = train(
            self._untrained(float(there.sum()) / len(there)),
            Problem(
                Partial(_sample, int(self.batch_size), times[kept], there[kept]),
                _loss,
                Partial(_validate, *validation),
            ),
            Settings(
                epochs=self.epochs,
                steps=max(len(kept) // self.batch_size, FEWEST_STEPS),
                learning_rate=self.learning_rate,
                patience=None,
                kl_weight=self.kl_weight,
                average=0.98,
                catch_up=True,
            ),
            seed=self.seed,
            progress=progress,
        )
        # All at once: a fit that was refused or stopped leaves the model of before as it was.
        self.model_, self.history_ = trained.model, trained.history
        self.end_, self.best_epoch_ = float(end), trained.best_epoch
        return self

    def _untrained(self, mean: float) -> LatentODE:
        """A model whose rate begins near the mean number of events."""
        model = LatentODE(
            1,
            int(self.latent_size),
            int(self.hidden_size),
            self.encoder,
            key=jax.random.key(self.seed),
            intensity=True,
            knots=KNOTS,
            solver=SOLVER,
        )

        def bias(model: LatentODE) -> Any:
            return model.intensity.log_rate.layers[-1].bias  # pyright: ignore[reportOptionalMemberAccess]

        return eqx.tree_at(bias, model, bias(model) + np.log(mean))

    def rate(
        self, times: Float[ArrayLike, " times"], sequence: ArrayLike | None = None
    ) -> Float[np.ndarray, " times"]:
        """Events per unit of time: of a sequence whose events are given, or of an unknown one."""
        return self._solved(times, sequence)[0] / self.end_

    def expected(
        self, times: Float[ArrayLike, " times"], sequence: ArrayLike | None = None
    ) -> Float[np.ndarray, " times"]:
        """The expected number of events from 0 to each of the times."""
        return self._solved(times, sequence)[1]

    def score(self, sequences: Sequence[ArrayLike], draws: int = DRAWS) -> float:
        """The log density of the sequences' times, mean over the sequences, with time in units.

        It is the importance-weighted bound (Burda et al. 2016) of so many draws: the true value is
        at least as large.

        Raises:
            InputError: a time does not fit, there is no sequence, or no such number of draws.
        """
        self._require_fit()
        if not (is_whole(draws) and draws >= 1):
            raise InputError(f"draws={draws!r} must be a whole number of at least 1.")
        times, there = _padded(sequences, self.end_)
        if not len(times):
            raise InputError("There is no sequence to score: give a list of lists of times.")
        context, target = _asked(times, there)
        found = _weighted(self.model_, context, target, int(draws))
        # From densities in units of `end_` to those in the times' own.
        return float(jnp.mean(found - jnp.sum(there, axis=1) * np.log(self.end_)))

    def save(self, directory: str | Path) -> None:
        """Write `config.json` and `weights.safetensors`; if that fails, nothing is lost."""
        self._require_fit()
        config = {
            "kind": KIND,
            "settings": self.get_params(),
            "end": self.end_,
            "history": self.history_,
            "best_epoch": self.best_epoch_,
        }
        write_model(Path(directory), config, leaves_of("model", self.model_))

    @classmethod
    def load(cls, directory: str | Path) -> Self:
        """Read what `save` wrote; InputError says what is wrong with a damaged directory."""
        config, arrays = read_model(Path(directory), KIND, f"{KIND}.save wrote")
        with refusing_damage(directory):
            events = cls(**config["settings"])
            check_event_intensity(events.get_params())
            if not is_positive(config["end"]):
                raise ValueError(f"its end is {config['end']!r}")
            events.end_, events.history_ = config["end"], config["history"]
            events.best_epoch_ = config["best_epoch"]
            events.model_ = filled(events._untrained(1.0), "model", arrays)
        return events

    def _solved(
        self, times: ArrayLike, sequence: ArrayLike | None
    ) -> tuple[Float[np.ndarray, " times"], Float[np.ndarray, " times"]]:
        """The rate, with time in units of the end, and the expected number."""
        self._require_fit()
        try:
            at = np.asarray(times, float)
        except (TypeError, ValueError):
            at = np.empty((0, 0))
        if at.ndim != 1 or not np.all((at >= 0) & (at <= self.end_)):
            raise InputError(f"times must be a list of numbers from 0 to {self.end_:g}.")
        asked = np.ones((1, _room(len(at))), np.float32)
        asked[0, : len(at)] = at / self.end_
        given = np.empty(0) if sequence is None else sequence
        known = _padded([given], self.end_, _room)
        found = _drawn(self.model_, *known, jnp.asarray(asked), sequence is None)
        rate, expected = (np.asarray(part)[: len(at)] for part in found)
        return rate, expected

    def _require_fit(self) -> None:
        if not hasattr(self, "model_"):
            raise InputError("This EventIntensity is not fitted yet: call fit first.")


def _padded(
    sequences: Sequence[ArrayLike], end: float, room: Callable[[int], int] = int
) -> tuple[Float[Array, "sequences events"], Bool[Array, "sequences events"]]:
    """Times in units of the end, in order, and which of them are there.

    There is `room` for as many as the longest sequence has, or more.
    """
    rows = []
    if isinstance(sequences, str) or not np.iterable(sequences):
        raise InputError("sequences must be a list of lists of times.")
    for index, sequence in enumerate(sequences):
        row = _times_of(index, sequence)
        if not np.all((row >= 0) & (row <= end)):
            raise InputError(
                f"Sequence {index} (counted from 0) has an event outside of 0 to "
                f"{end:g}, or one that is not a number."
            )
        rows.append(row / end)
    most = room(max([len(row) for row in rows] + [1]))
    there = np.arange(most) < np.array([len(row) for row in rows])[:, None]
    times = np.ones((len(rows), most), np.float32)
    times[there] = np.concatenate([np.empty(0), *rows])
    return jnp.asarray(times), jnp.asarray(there)


def _room(count: int) -> int:
    """A power of two that is no less: sequences of all lengths share a few programs."""
    return 1 << (max(count, LEAST_ROOM) - 1).bit_length()


def _times_of(index: int, sequence: Any) -> Float[np.ndarray, " events"]:
    """In order."""
    try:
        row = np.asarray(sequence, float)
    except (TypeError, ValueError):
        row = np.empty((0, 0))
    if row.ndim != 1:
        raise InputError(
            f"Sequence {index} (counted from 0) is {sequence!r}: it must be a list of the times of "
            f"its events, as in [[0.5, 2.0], [1.5]]; one without events is []."
        )
    return np.sort(row)


def _asked(times: Array, there: Array) -> tuple[Context, Target]:
    """A sequence is read, and asked as well: the events, and the end of what was watched."""
    mask = there[:, :, None]
    # Attention averages over events: it would not know how many there were.
    number = jnp.log1p(jnp.sum(there, axis=1, dtype=times.dtype))
    values = mask * number[:, None, None]
    context = Context(times, values, mask, jnp.zeros((len(times), NO_SEASON)))
    until = jnp.concatenate([times, jnp.ones((len(times), 1), times.dtype)], axis=1)
    events = jnp.concatenate([mask, jnp.zeros((len(times), 1, 1), bool)], axis=1)
    return context, Target(until, jnp.zeros(events.shape, times.dtype), events)


def _sample(batch: int, times: Array, there: Array, key: Array) -> tuple[Context, Target]:
    chosen = jax.random.randint(key, (batch,), 0, len(times))
    return _asked(times[chosen], there[chosen])


def _loss(
    model: LatentODE, batch: tuple[Context, Target], key: Array, kl_weight: Array
) -> tuple[Array, dict[str, Array]]:
    """The negative bound, per sequence."""
    context, target = batch
    mean, std = model.encode(context)
    z0 = mean + std * jax.random.normal(key, mean.shape, mean.dtype)
    found = model.decode(z0, context.phase, target.times)
    log_likelihood = poisson_log_likelihood(*_course(found), jnp.any(target.mask, axis=2))
    divergence = divergence_from_prior(mean, std)
    loss = (-log_likelihood + kl_weight * divergence) / len(mean)
    return loss, {"kl": divergence / len(mean), "nfe": jnp.mean(1.0 * found.nfe)}


def _validate(context: Context, target: Target, model: LatentODE) -> Array:
    return -jnp.mean(_weighted(model, context, target, 8))


@eqx.filter_jit
def _weighted(
    model: LatentODE, context: Context, target: Target, draws: int
) -> Float[Array, " sequences"]:
    """The importance-weighted bound of each sequence's log density."""
    mean, std = model.encode(context)
    events = jnp.any(target.mask, axis=2)

    def weight(noise: Array) -> Array:
        z0 = mean + std * noise
        log_rate, expected = _course(model.decode(z0, context.phase, target.times))
        likelihood = jnp.sum(jnp.where(events, log_rate, 0), axis=1) - expected[:, -1]
        ratio = jnp.sum(jnp.log(std) + 0.5 * (noise**2 - z0**2), axis=1)
        return likelihood + ratio

    noise = jax.random.normal(jax.random.key(0), (draws, *mean.shape), mean.dtype)
    return jax.nn.logsumexp(jax.lax.map(weight, noise), axis=0) - np.log(draws)


@eqx.filter_jit
def _drawn(
    model: LatentODE,
    events: Float[Array, "1 events"],
    there: Bool[Array, "1 events"],
    times: Float[Array, "1 times"],
    unknown: bool,
) -> tuple[Float[Array, " times"], Float[Array, " times"]]:
    """Rate and expected number, means over draws of the posterior, or of the prior."""
    context, _ = _asked(events, there)
    mean, std = model.encode(context)
    if unknown:
        mean, std = jnp.zeros_like(mean), jnp.ones_like(std)
    noise = jax.random.normal(jax.random.key(1), (DRAWS, *mean.shape), mean.dtype)
    log_rate, expected = jax.lax.map(
        lambda draw: _course(model.decode(mean + std * draw, context.phase, times)), noise
    )
    return jnp.mean(jnp.exp(log_rate[:, 0]), axis=0), jnp.mean(expected[:, 0], axis=0)


def _course(found: Prediction) -> tuple[Array, Array]:
    """The logarithm of the rate and the expected number."""
    if found.log_rate is None or found.expected is None:
        raise TypeError("a model without an intensity")
    return found.log_rate, found.expected
