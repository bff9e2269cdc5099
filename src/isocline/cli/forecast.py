"""`isocline forecast`: from a table to a model, a backtest, a forecast and a report."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from isocline.errors import InputError

from .common import Talk
from .settings import ForecastSettings, given, in_files, merged
from .staging import CHECKPOINTS, ResultFolder, again_by


def forecast(
    data: Annotated[
        str | None, Parameter(help="CSV, TSV or Parquet file, or built-in data [default: sst].")
    ] = None,
    /,
    *,
    out: Annotated[Path, Parameter(help="Folder for the results.")] = Path("isocline-forecast"),
    config: Annotated[
        Path | None, Parameter(help="TOML file with settings; options override it.")
    ] = None,
    resume: Annotated[
        bool, Parameter(help="Go on from the checkpoint in the output folder, if there is one.")
    ] = False,
    force: Annotated[
        bool, Parameter(help="Write into a folder that holds other files as well.")
    ] = False,
    no_report: Annotated[bool, Parameter(help="Make no report.html.")] = False,
    settings: Annotated[ForecastSettings | None, Parameter(name="*")] = None,
    talk: Talk = Talk(),  # noqa: B008 - frozen
) -> None:
    """Train, backtest, forecast and write the results; see `commands.COMMANDS`."""
    options = with_data_apart(given(settings), data)
    kept = out / CHECKPOINTS / "config.toml" if resume else None
    layers = in_files(ForecastSettings, config=config, kept=kept)
    if resume and not any("data" in layer for layer in (*layers, options)):
        # Without this, a typing error in --out would start to train on the built-in data.
        raise InputError(
            f"There is no checkpoint in {out} to go on from. Check --out, or name DATA as well to "
            f"start from the beginning."
        )
    chosen = merged(*layers, options)

    from .running import Run

    again = again_by("forecast", out, {"--force": force, "--no-report": no_report})
    run = Run(chosen, talk, resume=resume, report=not no_report, again=again)
    run.into(lambda: ResultFolder(out, force=force))


def with_data_apart(options: dict, data: str | None) -> dict:
    """Options with DATA among them.

    An option that takes several words, such as `--target`, also takes a DATA that follows it: the
    last word is given back if it is a file.
    """
    for name in ("target", "period", "known", "past", "static", "calendar"):
        words = options.get(name)
        if data is None and words and Path(words[-1]).is_file():
            data, options = words[-1], options | {name: words[:-1] or None}
    if data is None:
        return options
    return options | given(ForecastSettings(data=data))
