"""Tables and models in words and numbers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from isocline.data import Series, SeriesTable

from .common import Talk
from .saved import kind_of, open_model
from .scores import plain_table, score_table
from .sources import covariate_notes

_MOST_ROWS = 20


def tell_table(name: str, table: SeriesTable, talk: Talk) -> None:
    """What a table looks like: series, rows, spans, spacing, missing cells, guessed columns."""
    document: dict[str, Any] = {**described_table(table), "source": name}
    rows = plain_table("series", "rows", "first", "last", "spacing", "missing")
    for one in document["series"][:_MOST_ROWS]:
        rows.add_row(
            one["name"] or "(one series)",
            str(one["rows"]),
            str(one["first"]),
            str(one["last"]),
            f"{one['median_spacing']:.4g} {document['time_unit']}",
            f"{100 * one['missing']:.1f}%",
        )
    more = len(document["series"]) - _MOST_ROWS
    periods = ", ".join(f"{period:.6g}" for period in document["periods"]) or "none"
    talk.result(
        document,
        f"{name}: {len(document['series'])} series, {document['rows']} rows",
        f"time:     {document['columns']['time']} ({document['time_kind']})",
        f"series:   {document['columns']['series'] or '(none)'}",
        f"channels: {', '.join(document['channels'])}",
        *covariate_notes(table),
        f"periods:  {periods} {document['time_unit'] if document['periods'] else ''}".rstrip(),
        *document["notes"],
        rows,
        *([f"... and {more} more series"] if more > 0 else []),
    )


def described_table(table: SeriesTable) -> dict[str, Any]:
    """A table as JSON can hold it, with the periods that a forecaster would look for."""
    from isocline.estimators.first_look import periods_seen
    from isocline.estimators.transforms import choose_transforms

    return {
        "kind": "table",
        "rows": sum(map(len, table.series)),
        "channels": list(table.channels),
        "columns": table.config()["columns"],
        "time_kind": table.axis.kind,
        "time_unit": table.axis.unit,
        "periods": list(periods_seen(table, choose_transforms(table))),
        "notes": list(table.notes),
        "series": [_described_series(table, one) for one in table.series],
    }


def _described_series(table: SeriesTable, one: Series) -> dict[str, Any]:
    first, last = (_label(table, number) for number in (one.times[0], one.times[-1]))
    missing = np.isnan(one.values)
    return {
        "name": one.name,
        "rows": len(one),
        "first": first,
        "last": last,
        "median_spacing": float(np.median(np.diff(one.times))),
        "missing": float(missing.mean()),
        "missing_by_channel": dict(zip(table.channels, missing.mean(axis=0).tolist())),
    }


def _label(table: SeriesTable, number: float) -> str | float:
    label = table.axis.to_label(number)
    if table.axis.kind == "number":
        return float(label)
    # Numbers count from an epoch in UTC, so labels of times with a zone are in UTC.
    text = str(label).removesuffix(":00") + ("Z" if table.axis.timezone else "")
    return text.removesuffix("T00:00")


def tell_density(folder: Path, talk: Talk) -> None:
    """What a saved density is: its columns, its size, its training."""
    from isocline.estimators import ContinuousFlow

    flow = ContinuousFlow.load(folder)
    config = json.loads((folder / "config.json").read_text("utf-8"))
    names, context = getattr(flow, "feature_names_in_", None), flow.encoding_.names or ()
    columns = None if names is None else list(names)
    best = min((row["validation"] for row in flow.history_), default=None)
    document = {
        "kind": "density",
        "path": str(folder),
        "isocline": config["isocline"],
        "format": config["format"],
        "settings": config["settings"],
        "columns": columns or flow.n_features_in_,
        "context": list(context),
        "parameters": flow.n_parameters_,
        "epochs": len(flow.history_),
    }
    talk.result(
        document,
        f"{folder}: a continuous flow of {flow.n_parameters_:,} parameters, field {flow.field}, "
        f"hidden size {flow.hidden_size}",
        f"written by Isocline {config['isocline']} (format {config['format']})",
        f"columns:  {', '.join(columns) if columns else flow.n_features_in_}",
        *([f"given:    {', '.join(context)}"] if context else []),
        f"training: {len(flow.history_)} epochs"
        + (f", best validation {best:.4g} nats of standardised rows" if best is not None else "")
        + f", seed {flow.seed}",
    )


def tell_events(folder: Path, talk: Talk) -> None:
    """What a saved model of events is: its size, its training, and how many it expects."""
    from isocline.estimators import EventIntensity

    model = EventIntensity.load(folder)
    config = json.loads((folder / "config.json").read_text("utf-8"))
    expected = float(model.expected(np.array([model.end_]))[0])
    document = {
        "kind": "events",
        "path": str(folder),
        "isocline": config["isocline"],
        "format": config["format"],
        "settings": config["settings"],
        "end": model.end_,
        "expected": expected,
        "parameters": model.n_parameters_,
        "epochs": len(model.history_),
        "best_epoch": model.best_epoch_,
    }
    talk.result(
        document,
        f"{folder}: rates of events by a latent ODE of {model.n_parameters_:,} parameters, encoder "
        f"{model.encoder}, latent size {model.latent_size}, hidden size {model.hidden_size}",
        f"written by Isocline {config['isocline']} (format {config['format']})",
        f"watched:  from 0 to {model.end_:g}, {expected:.4g} events expected",
        f"training: {len(model.history_)} epochs, best {model.best_epoch_}, seed {model.seed}",
    )


def tell_model(folder: Path, talk: Talk) -> None:
    """What a saved model is: data, sizes, training, and its scores if they lie beside it."""
    tell = {"ContinuousFlow": tell_density, "EventIntensity": tell_events}.get(kind_of(folder))
    if tell is not None:
        tell(folder, talk)
        return
    forecaster = open_model(folder)
    config = json.loads((folder / "config.json").read_text("utf-8"))
    table = forecaster.table_
    scores = _scores_beside(folder)
    unit = f" {table.axis.unit}" if table.axis.unit else ""
    settings = forecaster.settings()
    document = {
        "kind": "model",
        "path": str(folder),
        "isocline": config["isocline"],
        "format": config["format"],
        "settings": settings,
        "horizon": forecaster.horizon_,
        "periods": list(forecaster.periods_),
        "epochs": len(forecaster.history_),
        "best_epoch": forecaster.best_epoch_,
        "nfe": forecaster.nfe_,
        "data": described_table(table),
        "scores": scores,
    }
    first, last = (_label(table, number) for number in table.span)
    periods = ", ".join(f"{period:.6g}" for period in forecaster.periods_) or "none"
    talk.result(
        document,
        f"{folder}: an ensemble of {settings['members']} latent ODEs, encoder "
        f"{settings['encoder']}, latent size {settings['latent_size']}, hidden size "
        f"{settings['hidden_size']}",
        f"written by Isocline {config['isocline']} (format {config['format']})",
        f"horizon:  {forecaster.horizon_:.6g}{unit}, periods: {periods}",
        f"training: {len(forecaster.history_)} epochs, best {forecaster.best_epoch_}, "
        f"{forecaster.nfe_:.1f} evaluations of the field a solve, seed {settings['seed']}",
        f"data:     {len(table.series)} series of {', '.join(table.channels)}, {first} to {last}",
        *covariate_notes(table),
        *([f"calendar: {', '.join(settings['calendar'])}"] if settings["calendar"] else []),
        *([score_table(scores)] if scores else []),
    )


def _scores_beside(folder: Path) -> dict[str, Any] | None:
    try:
        metrics = json.loads((folder.parent / "metrics.json").read_text("utf-8"))
        return {"model": metrics["model"], "baselines": metrics["baselines"]}
    except (OSError, ValueError, KeyError, TypeError):
        return None
