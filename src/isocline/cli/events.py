"""`isocline events`: from times of events to their rate, and how well it foretells."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from isocline.errors import InputError

from .common import Talk
from .events_settings import EventsSettings
from .settings import checked, layered
from .staging import CHECKPOINTS, Layout, ResultFolder, again_by

LAYOUT = Layout(
    EventsSettings.header,
    ("scores.csv", "rate.csv", "metrics.json", "model", "report.html", "config.toml"),
)


def events(
    data: Annotated[str | None, Parameter(help="CSV, TSV or Parquet file.")] = None,
    /,
    *,
    out: Annotated[Path, Parameter(help="Folder for the results.")] = Path("isocline-events"),
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
    settings: Annotated[EventsSettings | None, Parameter(name="*")] = None,
    talk: Talk = Talk(),  # noqa: B008 - frozen
) -> None:
    """Fit, score and report; see `commands.COMMANDS`."""
    kept = out / CHECKPOINTS / "config.toml" if resume else None
    values = layered(EventsSettings, data, settings, config=config, kept=kept)
    if not values.get("data"):
        raise InputError(
            "Name a table of events: isocline events DATA.csv --every 1d, or --series and --end."
        )
    chosen = checked(EventsSettings, values)

    from .events_run import EventsRun

    again = again_by("events", out, {"--force": force, "--no-report": no_report})
    run = EventsRun(chosen, talk, resume=resume, report=not no_report, again=again)
    run.into(lambda: ResultFolder(out, force=force, layout=LAYOUT))
