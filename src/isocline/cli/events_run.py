"""One run of `isocline events`, step by step."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from isocline.errors import InputError

from .common import COMMAND, Talk, plain
from .event_rows import Sequences
from .event_sequences import read_sequences
from .events_settings import EventsSettings
from .progress import Progress
from .scores import plain_table
from .staged_run import StagedRun, Work, kept_apart, short

if TYPE_CHECKING:
    from isocline.estimators import EventIntensity
    from isocline.estimators.events import Courses

PROCESSES = {
    "constant": "one rate for all",
    "course": "one rate for all, common course",
    "own": "a rate of each",
    "own_course": "a rate of each, common course",
}
"""What the Poisson processes are called that the model is compared with."""
_BOUND_DRAWS = 64  # of the bound of a sequence's log density
_RATE_DRAWS = 512  # of rates that a sequence may have
_TIMES = 201  # of rate.csv


@dataclass
class Outcome:
    """What a run found out.

    Attributes:
        model: fitted to the training sequences.
        sequences: all of them.
        tested: whether each was kept for the scores.
        scores: the log density of each.
        times: of the rate.
        courses: rates at these times that a sequence may have.
        metrics: of the run.
    """

    model: EventIntensity
    sequences: Sequences
    tested: np.ndarray
    scores: np.ndarray
    times: np.ndarray
    courses: Courses
    metrics: dict[str, Any]


class EventsRun(StagedRun[Outcome]):
    """A run of `isocline events`."""

    def __init__(self, settings: EventsSettings, talk: Talk, **options: Any) -> None:
        super().__init__(settings, talk, **options)
        self.settings = settings

    def prepared(self) -> Work[Outcome]:
        """Read the table, and refuse sequences of which nothing can be learnt."""
        from isocline.estimators import EventIntensity

        sequences = read_sequences(self.settings)
        amount = sum(map(len, sequences.times))
        self.talk.note(
            *sequences.notes,
            f"{short(self.settings.data)}: {amount:,} events in {len(sequences.names):,} sequences "
            f"from 0 to {sequences.end:g} {sequences.unit}",
        )
        self._check(sequences)
        return partial(self._work, EventIntensity(**self.settings.estimator()), sequences)

    def _check(self, sequences: Sequences) -> None:
        """Refuse sequences of which too few are left to learn from."""
        number = len(sequences.names)
        if number < 3:
            mend = (
                "Give a table with more of them."
                if sequences.kind == "series"
                else "Give a shorter --every."
            )
            raise InputError(
                f"{short(self.settings.data)} has {number} "
                f"sequence{'s' if number > 1 else ''} of events. At least 3 are needed: to learn "
                f"from, to choose the epoch by, and to test with. {mend}"
            )
        tested = self._tested(sequences)
        kept = f"--test {self.settings.test:g} keeps {tested.sum()} of {number} sequences"
        if number - tested.sum() < 2:
            raise InputError(f"{kept} for the scores, and leaves too few to learn from. Lower it.")
        if not any(map(len, sequences.some(~tested))):
            raise InputError(
                f"{kept} for the scores, and none of the others has an event to learn from. Lower "
                f"it, or give another --seed."
            )

    def _tested(self, sequences: Sequences) -> np.ndarray:
        return kept_apart(len(sequences.names), self.settings.test, self.settings.seed)

    def metrics_of(self, outcome: Outcome) -> dict[str, Any]:
        """Log densities of the sequences kept for it, and of the run."""
        return outcome.metrics

    def table_of(self, metrics: dict[str, Any]) -> Any:
        """The model beside Poisson processes in closed form."""
        table = plain_table("", "log density, nats a sequence", "the model is ahead by")
        table.add_row("latent ODE", _with_error(metrics["model"], "log_density", "error", ""), "")
        for name, title in PROCESSES.items():
            found = metrics["baselines"][name]
            table.add_row(
                title,
                _with_error(found, "log_density", "error", ""),
                _with_error(found, "behind", "behind_error", "+"),
            )
        return table

    def write(self, outcome: Outcome, new: Path) -> None:
        """The sequences with their log densities, the rate, and the model."""
        import pandas

        low, high = np.quantile(outcome.courses.rates, (0.05, 0.95), axis=0)
        rate, expected = (part.mean(axis=0) for part in outcome.courses)
        names, times = outcome.sequences.names, outcome.sequences.times
        pandas.DataFrame(
            {
                "sequence": names,
                "events": [len(one) for one in times],
                "expected": expected[-1],
                "log_density": outcome.scores,
                "test": outcome.tested,
            }
        ).to_csv(new / "scores.csv", index=False)
        columns = {"rate": rate, "q05": low, "q95": high, "expected": expected}
        pandas.DataFrame({"time": outcome.times} | columns).to_csv(new / "rate.csv", index=False)
        outcome.model.save(new / "model")

    def page(self, outcome: Outcome) -> str:
        """Rate and numbers of events, scores and training."""
        from isocline.report.events import events_page

        return events_page(
            names=outcome.sequences.names,
            sequences=outcome.sequences.times,
            times=outcome.times,
            courses=outcome.courses,
            scores=outcome.scores,
            history=outcome.model.history_,
            metrics=outcome.metrics,
            titles=PROCESSES,
            notes=outcome.sequences.notes,
            command=COMMAND.get(),
        )

    def _work(
        self, model: EventIntensity, sequences: Sequences, checkpoints: Path, progress: Progress
    ) -> Outcome:
        tested = self._tested(sequences)
        training, asked = sequences.some(~tested), sequences.some(tested)
        model.fit(
            training,
            sequences.end,
            checkpoint=checkpoints,
            resume=self.resume,
            progress=_staged(progress),
        )
        scores = model.score_samples(sequences.times, _BOUND_DRAWS)
        times = np.linspace(0, sequences.end, _TIMES)
        courses = model.courses(times, draws=_RATE_DRAWS)
        metrics = self.circumstances() | {
            "model": _mean(scores[tested]),
            "baselines": self._baselines(training, asked, sequences.end, scores[tested]),
            "draws": _BOUND_DRAWS,
            "expected": float(courses.expected[:, -1].mean()),
            "events_a_sequence": {
                "training": float(np.mean([len(one) for one in training])),
                "test": float(np.mean([len(one) for one in asked])),
            },
            "epochs": len(model.history_),
            "best_epoch": model.best_epoch_,
            "training_seconds": sum(row["seconds"] for row in model.history_),
            "parameters": model.n_parameters_,
            "settings": self.settings.model_dump(mode="json", exclude={"data"}),
            "data": {
                "source": short(self.settings.data),
                "events": sum(map(len, sequences.times)),
                "sequences": len(tested),
                "tested": int(tested.sum()),
                "kind": sequences.kind,
                "end": sequences.end,
                "unit": sequences.unit,
                "notes": sequences.notes,
            },
        }
        return Outcome(model, sequences, tested, scores, times, courses, plain(metrics))

    def _baselines(
        self, training: list[np.ndarray], asked: list[np.ndarray], end: float, own: np.ndarray
    ) -> dict[str, Any]:
        """The Poisson processes on the test sequences, and how far they are behind the model."""
        from isocline.estimators.event_sequences import split_sequences
        from isocline.evaluation.point_processes import chosen_cells, event_baselines

        parts = split_sequences(len(training), self.settings.validation, self.settings.seed)
        learnt, held = ([training[place] for place in part] for part in parts)
        cells = chosen_cells(learnt, held, end)
        found = event_baselines(training, asked, end, cells)
        rows: dict[str, Any] = {}
        for name, values in found.items():
            behind = _mean(own - values)
            rows[name] = _mean(values) | {
                "behind": behind["log_density"],
                "behind_error": behind["error"],
                "cells": cells if "course" in name else 1,
            }
        return rows


def _staged(progress: Progress) -> Callable[[dict[str, Any]], None]:
    return lambda row: progress({**row, "stage": "events"})


def _mean(values: np.ndarray) -> dict[str, float]:
    """The mean, and its standard error, which a single value does not have."""
    error = values.std(ddof=1) / np.sqrt(len(values)) if len(values) > 1 else np.nan
    return {"log_density": float(values.mean()), "error": float(error)}


def _with_error(row: dict[str, Any], name: str, error: str, sign: str) -> str:
    if row[name] is None:
        return "-"
    text = f"{row[name]:{sign}.4g}"
    return text if row[error] is None else f"{text} ± {row[error]:.2g}"
