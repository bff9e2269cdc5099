"""One run of `isocline density`, step by step."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from isocline.errors import InputError

from .common import COMMAND, Talk, plain
from .density_settings import DensitySettings
from .density_table import DensityTable, Wanted, free_name, read_density_table, whole_frame
from .progress import Progress
from .scores import plain_table
from .staged_run import StagedRun, Work, kept_apart, short

if TYPE_CHECKING:
    from isocline.estimators import ContinuousFlow


@dataclass
class Outcome:
    """What a run found out.

    Attributes:
        model: fitted to the training rows.
        table: all rows.
        tested: whether each row was kept for the scores.
        scores: the log-density of each row.
        sample: new rows, and the contexts that they were drawn with.
        metrics: of the run.
    """

    model: ContinuousFlow
    table: DensityTable
    tested: np.ndarray
    scores: np.ndarray
    sample: np.ndarray
    drawn: np.ndarray
    metrics: dict[str, Any]


class DensityRun(StagedRun[Outcome]):
    """A run of `isocline density`."""

    def __init__(self, settings: DensitySettings, talk: Talk, **options: Any) -> None:
        super().__init__(settings, talk, **options)
        self.settings = settings

    def prepared(self) -> Work[Outcome]:
        """Read the table, and refuse columns that have no density."""
        from isocline.estimators import ContinuousFlow
        from isocline.estimators.density_columns import read_numbers
        from isocline.estimators.density_scaling import read_bounds

        table = read_density_table(
            self.settings.data, Wanted(self.settings.columns, self.settings.context or ())
        )
        rows = len(table.values)
        self.talk.note(
            f"{short(self.settings.data)}: {rows} rows, {', '.join(table.values.columns)}"
            + (f"; given {', '.join(table.context.columns)}" if table.context is not None else "")
        )
        model = ContinuousFlow(**self.settings.estimator())
        # Here, where rows are the lines of the file.
        read_bounds(model.bounds, read_numbers(table.values), table.source.row)
        model.check(table.values, context=table.context)
        self._check_training(model, table)
        return partial(self._work, model, table)

    def _check_training(self, model: ContinuousFlow, table: DensityTable) -> None:
        """Refuse a table of whose rows too few are left to learn from."""
        tested = self._tested(table)
        training = table.rows(np.flatnonzero(~tested))
        try:
            model.check(training.values, context=training.context)
        except InputError as error:
            raise InputError(
                f"--test {self.settings.test:g} keeps {tested.sum()} of {len(tested)} rows for the "
                f"scores. Lower it; of the others: {error}"
            ) from error

    def metrics_of(self, outcome: Outcome) -> dict[str, Any]:
        """Negative log-likelihoods of the rows kept for it, and of the run."""
        return outcome.metrics

    def table_of(self, metrics: dict[str, Any]) -> Any:
        """The density beside a normal one."""
        table = plain_table("", "NLL, nats a row", "± standard error")
        for name, title in (("model", "continuous flow"), ("normal", "normal distribution")):
            table.add_row(title, *(f"{metrics[name][key]:.4g}" for key in ("nll", "error")))
        return table

    def write(self, outcome: Outcome, new: Path) -> None:
        """The rows with their log-densities, new rows, and the model."""
        import pandas

        scored = whole_frame(outcome.table)
        for name, column in (("log_density", outcome.scores), ("test", outcome.tested)):
            scored[free_name(name, scored.columns)] = column
        scored.to_csv(new / "scores.csv", index=False)
        drawn = outcome.table.rows(outcome.drawn)
        sample = pandas.DataFrame(outcome.sample, columns=list(outcome.table.values.columns))
        whole_frame(drawn, sample).to_csv(new / "sample.csv", index=False)
        outcome.model.save(new / "model")

    def page(self, outcome: Outcome) -> str:
        """Data and sample, scores and training."""
        from isocline.report.density import density_page

        return density_page(
            names=tuple(outcome.table.values.columns),
            rows=outcome.table.values.to_numpy(),
            sample=outcome.sample,
            scores=outcome.scores,
            history=outcome.model.history_,
            metrics=outcome.metrics,
            command=COMMAND.get(),
            source=short(self.settings.data),
        )

    def _tested(self, table: DensityTable) -> np.ndarray:
        return kept_apart(len(table.values), self.settings.test, self.settings.seed)

    def _work(
        self, model: ContinuousFlow, table: DensityTable, checkpoints: Path, progress: Progress
    ) -> Outcome:
        tested = self._tested(table)
        training = table.rows(np.flatnonzero(~tested))
        model.fit(
            training.values,
            context=training.context,
            checkpoint=checkpoints,
            resume=self.resume,
            progress=progress,
        )
        scores = model.score_samples(table.values, context=table.context)
        nfe = model.nfe_
        draw = np.random.default_rng([self.settings.seed, 1])
        drawn = draw.integers(len(tested), size=self.settings.samples)
        sample = model.sample(
            len(drawn), context=table.rows(drawn).context, seed=self.settings.seed
        )
        metrics = self.circumstances() | {
            "model": _nll(scores[tested]),
            "normal": _nll(_normal(training, table)[tested]),
            "nfe": nfe,
            "epochs": len(model.history_),
            "training_seconds": sum(row["seconds"] for row in model.history_),
            "parameters": model.n_parameters_,
            "settings": self.settings.model_dump(mode="json", exclude={"data"}),
            "data": {
                "source": short(self.settings.data),
                "rows": len(tested),
                "tested": int(tested.sum()),
                "columns": list(table.values.columns),
                "context": [] if table.context is None else list(table.context.columns),
            },
        }
        return Outcome(model, table, tested, scores, sample, drawn, plain(metrics))


def _nll(scores: np.ndarray) -> dict[str, float]:
    finite = scores[np.isfinite(scores)]
    error = float(finite.std() / np.sqrt(max(len(finite), 1)))
    return {"nll": -float(scores.mean()), "error": error}


def _normal(training: DensityTable, table: DensityTable) -> np.ndarray:
    """The log-density of a normal with the mean and covariance of the training rows."""
    from scipy.stats import multivariate_normal

    rows = training.values.to_numpy()
    covariance = np.atleast_2d(np.cov(rows, rowvar=False))
    normal = multivariate_normal(rows.mean(axis=0), covariance, allow_singular=True)  # pyright: ignore[reportArgumentType]
    return np.atleast_1d(normal.logpdf(table.values.to_numpy()))
