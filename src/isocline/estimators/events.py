"""Rates of events over time, learnt from when they happened (Chen et al. 2018, sec. 5.1)."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Self

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Bool, Float

from isocline.errors import InputError
from isocline.models import Knots, LatentODE
from isocline.models.ode_net import count_parameters
from isocline.train import Checkpoint, Settings, train

from .checking import check_event_intensity, is_positive, is_whole
from .event_sequences import padded, roomy
from .event_training import drawn_courses, event_problem, in_chunks, weighted_bounds
from .fingerprint import digest_of
from .learning import held_out, require_usable
from .settings import Configured
from .storing import filled, leaves_of, read_model, refusing_damage, write_model

KIND = "EventIntensity"
KNOTS = Knots(1.0, 48)
# The expected number grows without bound: the tolerance is relative to it.
SOLVER = (("rtol", 1e-4), ("atol", 1e-5), ("max_steps", 256))
DRAWS = 32
FEWEST_STEPS = 20  # of an epoch, however few sequences there are


class Courses(NamedTuple):
    """Rates that a sequence may have, one row a draw.

    Attributes:
        rates: events per unit of time.
        expected: their integrals from 0: the expected numbers of events.
    """

    rates: Float[np.ndarray, "draws times"]
    expected: Float[np.ndarray, "draws times"]


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
        model_, history_, best_epoch_, end_, n_parameters_: after `fit`.
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
        checkpoint: str | Path | None = None,
        resume: bool = False,
        progress: Callable[[dict[str, Any]], None] | None = None,
    ) -> Self:
        """Learn the rates.

        Args:
            sequences: the times of the events of each, from 0 to `end` and in any order; a sequence
                may have none.
            end: how long each was watched.
            checkpoint: a folder that keeps the state of training after every epoch.
            resume: go on from there, exactly where it stopped.
            progress: called after every epoch.

        Raises:
            InputError: a time or a setting does not fit; the message says which.
        """
        check_event_intensity(self.get_params())
        if not is_positive(end):
            raise InputError(f"end={end!r} must be a positive number.")
        times, there = padded(sequences, float(end))
        if len(times) < 2 or not there.any():
            raise InputError("Give at least two sequences, and an event in one of them.")
        parts = held_out(len(times), self.validation, self.seed)
        kept = None if checkpoint is None else self._checkpoint(checkpoint, times, there, end)
        trained = train(
            self._untrained(float(there.sum()) / len(there)),
            event_problem(times, there, parts, int(self.batch_size)),
            self._training(len(parts[0])),
            seed=self.seed,
            checkpoint=kept,
            resume=resume,
            progress=progress,
        )
        require_usable(trained, "density")
        # All at once: a fit that was refused or stopped leaves the model of before as it was.
        self.model_, self.history_ = trained.model, trained.history
        self.end_, self.best_epoch_ = float(end), trained.best_epoch
        self.n_parameters_ = count_parameters(trained.model)
        return self

    def _training(self, learnt: int) -> Settings:
        """How to train on so many sequences."""
        return Settings(
            epochs=self.epochs,
            steps=max(learnt // self.batch_size, FEWEST_STEPS),
            learning_rate=self.learning_rate,
            patience=None,
            kl_weight=self.kl_weight,
            average=0.98,
            catch_up=True,
        )

    def _checkpoint(self, folder: str | Path, times: Array, there: Array, end: float) -> Checkpoint:
        """Where the state of training on these sequences is kept."""
        parts = (np.asarray(part).tobytes() for part in (times, there))
        digest = digest_of([self.get_params(), KIND, float(end), times.shape], parts)
        return Checkpoint(Path(folder) / "events.safetensors", digest)

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
        return self.courses(times, sequence).rates.mean(axis=0)

    def expected(
        self, times: Float[ArrayLike, " times"], sequence: ArrayLike | None = None
    ) -> Float[np.ndarray, " times"]:
        """The expected number of events from 0 to each of the times."""
        return self.courses(times, sequence).expected.mean(axis=0)

    def courses(
        self,
        times: Float[ArrayLike, " times"],
        sequence: ArrayLike | None = None,
        draws: int = DRAWS,
    ) -> Courses:
        """Rates, and expected numbers, that a sequence may have: their means are the above.

        Args:
            times: from 0 to the end, in any order.
            sequence: its events; that of an unknown sequence is drawn from the prior.
            draws: how many; one whose solve fails is left out, with a warning.

        Raises:
            InputError: a time does not fit, no such number of draws, or all solves fail.
        """
        self._require_fit()
        _require_draws(draws)
        try:
            at = np.asarray(times, float)
        except (TypeError, ValueError):
            at = np.empty((0, 0))
        if at.ndim != 1 or not np.all((at >= 0) & (at <= self.end_)):
            raise InputError(f"times must be a list of numbers from 0 to {self.end_:g}.")
        wanted = np.ones((1, roomy(len(at))), np.float32)
        wanted[0, : len(at)] = at / self.end_
        given = np.empty(0) if sequence is None else sequence
        known = padded([given], self.end_, roomy)
        found = drawn_courses(
            self.model_, *known, jnp.asarray(wanted), sequence is None, int(draws)
        )
        rates, expected = (np.asarray(part)[:, : len(at)] for part in found)
        solved = np.asarray(np.isfinite(np.hstack([rates, expected])).all(axis=1))
        _tell_lost_draws(solved)
        return Courses(rates[solved] / self.end_, expected[solved])

    def score_samples(
        self, sequences: Sequence[ArrayLike], draws: int = DRAWS
    ) -> Float[np.ndarray, " sequences"]:
        """The log density of each sequence's times, with time in units.

        It is the importance-weighted bound (Burda et al. 2016) of so many draws: the true value is
        at least as large. The draws of a sequence are decided by its events alone; only the steps
        of a solve are shared with others, and change a score within the tolerance.

        A sequence whose solve fails has NaN, with a warning.

        Raises:
            InputError: a time does not fit, there is no sequence, or no such number of draws.
        """
        self._require_fit()
        _require_draws(draws)
        times, there = padded(sequences, self.end_)
        if not len(times):
            raise InputError("There is no sequence to score: give a list of lists of times.")
        # From densities in units of `end_` to those in the times' own.
        change = np.asarray(there).sum(axis=1) * np.log(self.end_)
        bounds = np.concatenate(
            [
                self._bounds(*chunk, int(draws))
                for chunk in zip(*in_chunks(times, there), strict=True)
            ]
        )[: len(change)]
        _tell_lost(bounds)
        return bounds - change

    def _bounds(self, times: Array, there: Array, draws: int) -> Float[np.ndarray, " chunk"]:
        """Of sequences in one solve; where that fails, in one of each."""
        found = np.asarray(weighted_bounds(self.model_, times, there, draws))
        if np.isfinite(found).all():
            return found
        return np.asarray(weighted_bounds(self.model_, times, there, draws, apart=True))

    def score(self, sequences: Sequence[ArrayLike], draws: int = DRAWS) -> float:
        """The mean of `score_samples` over the sequences: a number to compare models by."""
        return float(np.mean(self.score_samples(sequences, draws), dtype=np.float64))

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
            events.n_parameters_ = count_parameters(events.model_)
        return events

    def _require_fit(self) -> None:
        if not hasattr(self, "model_"):
            raise InputError("This EventIntensity is not fitted yet: call fit first.")


def _tell_lost(bounds: Float[np.ndarray, " sequences"]) -> None:
    """Warn of sequences whose solves failed."""
    lost = np.flatnonzero(~np.isfinite(bounds))
    if len(lost):
        warnings.warn(
            f"The density of {len(lost)} of {len(bounds)} sequences, the first of which is number "
            f"{lost[0]} (counted from 0), can not be computed: the solve of their rate gives up. "
            f"Their scores are NaN. Lower the learning rate, and fit again.",
            stacklevel=3,
        )


def _tell_lost_draws(solved: Bool[np.ndarray, " draws"]) -> None:
    """Warn of draws whose solves failed; refuse where none is left.

    Raises:
        InputError: all failed.
    """
    fault = "can not be solved. Lower the learning rate, and fit again."
    if not solved.any():
        raise InputError(f"The rate {fault}")
    if not solved.all():
        lost = f"{np.sum(~solved)} of {len(solved)} draws of the rate are left out"
        warnings.warn(f"{lost}: they {fault}", stacklevel=3)


def _require_draws(draws: Any) -> None:
    if not (is_whole(draws) and draws >= 1):
        raise InputError(f"draws={draws!r} must be a whole number of at least 1.")
