"""One run of `isocline forecast`, step by step."""

from __future__ import annotations

import json
import platform
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from isocline._version import __version__
from isocline.data import SeriesTable
from isocline.errors import InputError

from .common import COMMAND, Talk, plain
from .failing import OF_THE_DISK, StoppedError
from .progress import Progress, progress_of
from .scores import score_table
from .settings import ForecastSettings
from .sources import asked_at, length_of, open_table, trained_for
from .staging import ResultFolder

if TYPE_CHECKING:
    import numpy as np
    import pandas

    from isocline.estimators import Backtest, LatentODEForecaster

_FIRST_STATE = "latent_ode.safetensors"


@dataclass
class Outcome:
    """What a run found out."""

    forecaster: LatentODEForecaster
    frame: pandas.DataFrame
    backtest: Backtest
    metrics: dict[str, Any]


class Run:
    """A run of `isocline forecast`.

    Args:
        settings: what to do.
        talk: how to speak.
        resume: go on from the checkpoint.
        report: make report.html.
        again: the command that resumes this run.
    """

    def __init__(
        self, settings: ForecastSettings, talk: Talk, *, resume: bool, report: bool, again: str
    ) -> None:
        self.settings, self.talk, self.resume, self.report = settings, talk, resume, report
        self.again = again
        self.began = time.perf_counter()

    def into(self, open_folder: Callable[[], ResultFolder]) -> None:
        """Check the input, then train and write the results.

        The folder is opened after the input is found good, so that a typing error leaves no trace.
        """
        if self.report:
            require_report()
        table = self._table()
        asked = self._asked(table)
        forecaster = self._forecaster(table, asked)
        folder = open_folder()
        progress = progress_of(quiet=self.talk.quiet)
        try:
            self._begin(folder)
            with progress:
                outcome = self._work(forecaster, table, asked, folder.checkpoints, progress)
            failure = self._write(outcome, folder)
        except BaseException as error:
            told = self._told(error, folder, progress.last)
            if told is error:
                raise
            raise told from error
        folder.drop_earlier_checkpoints()
        files = sorted(entry.name for entry in folder.path.iterdir() if entry.name[0] != ".")
        if self.talk.json or not self.talk.quiet:
            self.talk.result(
                outcome.metrics | {"out": str(folder.path), "files": files},
                score_table(outcome.metrics),
                f"Written to {folder.path}: {', '.join(files)}",
            )
        if failure is not None:
            raise failure

    def _table(self) -> SeriesTable:
        chosen = self.settings
        table = open_table(
            chosen.data,
            time=chosen.time,
            series=chosen.series,
            target=chosen.target,
            sort=chosen.sort,
            duplicates=chosen.duplicates,
        )
        rows = sum(map(len, table.series))
        self.talk.note(
            f"{_short(chosen.data)}: {len(table.series)} series, {rows} rows, "
            f"{', '.join(table.channels)}",
            *table.notes,
        )
        return table

    def _asked(self, table: SeriesTable) -> dict[str, np.ndarray] | None:
        from isocline.estimators.asking import asked_times

        if not self.settings.at:
            return None
        # Asked here for its complaints, which should not wait for the training.
        return asked_times(table, asked_at(table, self.settings.at), 1.0)

    def _forecaster(self, table: SeriesTable, asked: Any) -> LatentODEForecaster:
        from isocline.estimators import LatentODEForecaster

        horizon, note = trained_for(table, self.settings.horizon, asked)
        if note:
            self.talk.note(note)
        periods = self.settings.period
        if periods is not None:
            words = () if periods == ("none",) else periods
            periods = tuple(length_of("--period", word, table) for word in words)
        return LatentODEForecaster(horizon=horizon, periods=periods, **self.settings.estimator())

    def _begin(self, folder: ResultFolder) -> None:
        """Note the settings beside the checkpoints; without --resume, old states step aside."""
        from isocline.train.checkpoint import write_bytes

        if not self.resume and folder.put_checkpoints_aside():
            self.talk.note(
                "Starting anew: the checkpoint of the earlier run is kept until this one is done."
            )
        begun = (folder.checkpoints / _FIRST_STATE).exists()
        if self.resume and not begun:
            self.talk.note(f"There is no checkpoint in {folder.path}: starting from the beginning.")
        if not begun:
            write_bytes(folder.checkpoints / "config.toml", self.settings.toml().encode())

    def _work(
        self,
        forecaster: LatentODEForecaster,
        table: SeriesTable,
        asked: Any,
        checkpoints: Path,
        progress: Progress,
    ) -> Outcome:
        forecaster.fit(table, checkpoint=checkpoints, resume=self.resume, progress=progress)
        backtest = forecaster.backtest()
        frame = forecaster.predict(asked)
        metrics = dict(backtest.metrics)
        metrics["robustness"] = forecaster.robustness()
        metrics |= self._circumstances(forecaster, table)
        return Outcome(forecaster, frame, backtest, plain(metrics))

    def _told(
        self, error: BaseException, folder: ResultFolder, last: dict[str, Any] | None
    ) -> BaseException:
        """What to raise of a run that was stopped or found the disk full: it says what is kept."""
        kept = self._kept(folder, last)
        if isinstance(error, KeyboardInterrupt):
            return StoppedError(f"Stopped. {kept} Go on with: {self.again}")
        if not isinstance(error, OSError) or error.errno not in OF_THE_DISK:
            return error
        return InputError(
            f"The output folder {folder.path} can not be written: {error.strerror}. Nothing that "
            f"was in it is lost. {kept} Make room, then go on with: {self.again}"
        )

    def _kept(self, folder: ResultFolder, last: dict[str, Any] | None) -> str:
        if last is not None:
            stage = "the GRU baseline" if last.get("stage") == "gru" else "the latent ODE"
            return (
                f"The state after epoch {last['epoch']} of {stage} is kept in {folder.checkpoints}."
            )
        if self.resume:
            return f"The state of training is kept in {folder.checkpoints}."
        if folder.take_checkpoints_back():
            return "No epoch was done; the checkpoint of the earlier run is in its place again."
        return "No epoch was done."

    def _circumstances(self, forecaster: LatentODEForecaster, table: SeriesTable) -> dict[str, Any]:
        import jax

        return {
            "nfe": forecaster.nfe_,
            "epochs": len(forecaster.history_),
            "best_epoch": forecaster.best_epoch_,
            "training_seconds": sum(row["seconds"] for row in forecaster.history_),
            "seconds": time.perf_counter() - self.began,
            "seed": self.settings.seed,
            "command": COMMAND.get(),
            "settings": self.settings.model_dump(mode="json", exclude={"data", "at"}),
            "data": {
                "source": _short(self.settings.data),
                "series": len(table.series),
                "rows": sum(map(len, table.series)),
                "channels": list(table.channels),
                "time_unit": table.axis.unit,
                "notes": list(table.notes),
            },
            "version": __version__,
            "jax": jax.__version__,
            "python": platform.python_version(),
        }

    def _write(self, outcome: Outcome, folder: ResultFolder) -> Exception | None:
        """Write all results; a report that can not be made is given back as a failure."""
        failure = None
        with folder.staged() as new:
            outcome.frame.to_csv(new / "forecast.csv", index=False)
            outcome.backtest.frame.to_csv(new / "backtest.csv", index=False)
            outcome.forecaster.save(new / "model")
            (new / "config.toml").write_text(self.settings.toml(), "utf-8")
            if self.report:
                failure = self._write_report(outcome, new / "report.html")
            text = json.dumps(outcome.metrics, indent=1, allow_nan=False)
            (new / "metrics.json").write_text(text + "\n", "utf-8")
        return failure

    def _write_report(self, outcome: Outcome, path: Path) -> Exception | None:
        try:
            from isocline.report import report_page

            page = report_page(
                outcome.forecaster,
                forecast=outcome.frame,
                backtest=outcome.backtest,
                robustness=outcome.metrics["robustness"],
                metrics=outcome.metrics,
                command=COMMAND.get(),
                source=_short(self.settings.data),
            )
        except Exception as error:
            # A long training must not be lost for a picture.
            self.talk.note("The report could not be made; all other results are written.")
            return error
        path.write_text(page, "utf-8")
        return None


def require_report() -> None:
    """Refuse a run that would fail at its very end for want of a library.

    Raises:
        InputError: names the extra to install.
    """
    for library in ("matplotlib", "jinja2"):
        if find_spec(library) is None:
            raise InputError(
                f"The report needs {library}, which is not installed. Run: pip install "
                f"'isocline[plot]', or leave the report out by --no-report."
            )


def _short(data: str) -> str:
    """The name of the file, without the folders of this machine."""
    return Path(data).name
