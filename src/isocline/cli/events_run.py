"""One run of `isocline events`, step by step."""

from __future__ import annotations

import warnings
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
_MOST_NAMED = 5  # of sequences in a note


@dataclass
class Outcome:
    """What a run found out.

    Attributes:
        model: fitted to the training sequences.
        sequences: all of them.
        tested: whether each was kept for the scores.
        scores: the log density of each; NaN where it can not be computed.
        beside: that by the Poisson process with a rate of each and the common course.
        times: of the rate.
        courses: rates at these times that a sequence may have.
        notes: what was guessed and left out, and what could not be computed.
        metrics: of the run.
    """

    model: EventIntensity
    sequences: Sequences
    tested: np.ndarray
    scores: np.ndarray
    beside: np.ndarray
    times: np.ndarray
    courses: Courses
    notes: list[str]
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
        self._require_uncrowded(sequences)

    def _require_uncrowded(self, sequences: Sequences) -> None:
        """Refuse more events than can be computed with."""
        from isocline.estimators.event_sequences import crowded

        crowd = crowded(np.array([len(one) for one in sequences.times]))
        if crowd is None:
            return
        if sequences.kind == "period":
            mend = f"Give a shorter --every than {self.settings.every}."
        else:
            mend = "Have each series cut in periods by --every, or leave that one out."
        name = sequences.names[crowd[0]] or "the record"
        raise InputError(f"The {sequences.kind} '{name}' {crowd[1]}. {mend}")

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
        pandas.DataFrame(
            {
                "sequence": outcome.sequences.names,
                "events": [len(one) for one in outcome.sequences.times],
                "log_density": outcome.scores,
                "own_course": outcome.beside,
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
            beside=outcome.beside,
            history=outcome.model.history_,
            metrics=outcome.metrics,
            titles=PROCESSES,
            notes=outcome.notes,
            command=COMMAND.get(),
        )

    def _work(
        self, model: EventIntensity, sequences: Sequences, checkpoints: Path, progress: Progress
    ) -> Outcome:
        from isocline.evaluation.point_processes import event_baselines

        tested = self._tested(sequences)
        training, asked = sequences.some(~tested), sequences.some(tested)
        model.fit(
            training,
            sequences.end,
            checkpoint=checkpoints,
            resume=self.resume,
            progress=_staged(progress),
        )
        times = np.linspace(0, sequences.end, _TIMES)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what they say is said below, by name
            scores = model.score_samples(sequences.times, _BOUND_DRAWS)
            courses = model.courses(times, draws=_RATE_DRAWS)
        lost = _lost(sequences.names, scores, len(courses.rates))
        self.talk.note(*lost)
        cells = self._cells(training, sequences.end)
        processes = event_baselines(training, sequences.times, sequences.end, cells)
        notes = [*sequences.notes, *lost]
        metrics = self.circumstances() | {
            "model": _mean(scores[tested]),
            "baselines": _behind(processes, scores, tested, cells),
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
                "notes": notes,
            },
        }
        return Outcome(
            model,
            sequences,
            tested=tested,
            scores=scores,
            beside=processes["own_course"],
            times=times,
            courses=courses,
            notes=notes,
            metrics=plain(metrics),
        )

    def _cells(self, training: list[np.ndarray], end: float) -> int:
        """Of the common course: as many as foretell those best that the epoch is chosen by."""
        from isocline.estimators.learning import held_out
        from isocline.evaluation.point_processes import chosen_cells

        parts = held_out(len(training), self.settings.validation, self.settings.seed)
        learnt, held = ([training[place] for place in part] for part in parts)
        return chosen_cells(learnt, held, end)


def _behind(
    processes: dict[str, np.ndarray], scores: np.ndarray, tested: np.ndarray, cells: int
) -> dict[str, Any]:
    """The Poisson processes on the test sequences, and how far they are behind the model."""
    rows: dict[str, Any] = {}
    for name, values in processes.items():
        behind = _mean((scores - values)[tested])
        rows[name] = _mean(values[tested]) | {
            "behind": behind["log_density"],
            "behind_error": behind["error"],
            "cells": cells if "course" in name else 1,
        }
    return rows


def _lost(names: tuple[str, ...], scores: np.ndarray, draws: int) -> list[str]:
    """What could not be computed, as solves gave up."""
    notes, lost = [], [names[place] for place in np.flatnonzero(~np.isfinite(scores))]
    mend = "as solves of the rate gave up; a lower --learning-rate may help"
    if lost:
        which = ", ".join(f"'{name}'" for name in lost[:_MOST_NAMED])
        more = f" and {len(lost) - _MOST_NAMED} more" if len(lost) > _MOST_NAMED else ""
        notes.append(f"the log density of {which}{more} can not be computed, {mend}")
    if draws < _RATE_DRAWS:
        notes.append(f"{_RATE_DRAWS - draws} of {_RATE_DRAWS} draws are not in the rate, {mend}")
    return notes


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
