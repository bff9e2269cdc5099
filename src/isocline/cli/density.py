"""`isocline density`: from a table to a density, the log-density of each row, and new rows."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from isocline.errors import InputError

from .common import Talk
from .density_settings import DensitySettings
from .settings import checked, layered
from .staging import CHECKPOINTS, Layout, ResultFolder, again_by

LAYOUT = Layout(
    DensitySettings.header,
    ("scores.csv", "sample.csv", "metrics.json", "model", "report.html", "config.toml"),
)


def density(
    data: Annotated[str | None, Parameter(help="CSV, TSV or Parquet file.")] = None,
    /,
    *,
    out: Annotated[Path, Parameter(help="Folder for the results.")] = Path("isocline-density"),
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
    settings: Annotated[DensitySettings | None, Parameter(name="*")] = None,
    talk: Talk = Talk(),  # noqa: B008 - frozen
) -> None:
    """Fit, score, sample and report; see `commands.COMMANDS`."""
    kept = out / CHECKPOINTS / "config.toml" if resume else None
    values = layered(DensitySettings, data, settings, config=config, kept=kept)
    if not values.get("data"):
        raise InputError("Name a table to learn the density of: isocline density DATA.csv")
    chosen = checked(DensitySettings, values)

    from .density_run import DensityRun

    again = again_by("density", out, {"--force": force, "--no-report": no_report})
    run = DensityRun(chosen, talk, resume=resume, report=not no_report, again=again)
    run.into(lambda: ResultFolder(out, force=force, layout=LAYOUT))
