"""The tables and sentences of the page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from isocline.data import Series, SeriesTable

from .choosing import evenly
from .words import count, finite, label_of, moment, name_of, number, percent, seconds, signed, span

# Score, its heading, and the value it should be near (None: the lower the better).
SCORES = (
    ("rmse", "RMSE", None),
    ("mae", "MAE", None),
    ("crps", "CRPS", None),
    ("coverage_50", "Inside 50 % band", 0.5),
    ("coverage_90", "Inside 90 % band", 0.9),
)
_MOST_ROWS = 200
_ERRORS = tuple(entry for entry in SCORES if entry[2] is None)


def score_table(metrics: dict[str, Any]) -> dict[str, Any]:
    """Model and baselines, the best of each column marked."""
    methods = {"model": metrics.get("model") or {}}
    methods |= {name: scores or {} for name, scores in (metrics.get("baselines") or {}).items()}
    best = {key: _best(methods, key, nominal) for key, _, nominal in SCORES}
    rows = []
    for method, scores in methods.items():
        cells = [
            {
                "text": percent(scores.get(key)) if nominal else number(scores.get(key)),
                "best": method in best[key],
            }
            for key, _, nominal in SCORES
        ]
        rows.append({"name": label_of(method), "model": method == "model", "cells": cells})
    return {"heads": [head for _, head, _ in SCORES], "rows": rows}


def _best(methods: dict[str, dict[str, Any]], key: str, nominal: float | None) -> set[str]:
    """The methods with the best score, several if they tie; nobody if there is nobody to beat."""
    scores = {name: entry[key] for name, entry in methods.items() if finite(entry.get(key))}
    if len(scores) < 2:
        return set()
    off = {name: abs(score - nominal) if nominal else score for name, score in scores.items()}
    least = min(off.values())
    return {name for name, distance in off.items() if distance <= least * (1 + 1e-9)}


def rivals(metrics: dict[str, Any]) -> list[dict[str, Any]]:
    """For each error score, the best baseline and by what share the model's error is lower than its."""
    found = []
    model = metrics.get("model") or {}
    for key, head, _ in _ERRORS:
        scores = {
            name: entry[key]
            for name, entry in (metrics.get("baselines") or {}).items()
            if entry and finite(entry.get(key))
        }
        if not scores or not finite(model.get(key)):
            continue
        name = min(scores, key=lambda one: scores[one])
        gain = 1 - model[key] / scores[name] if scores[name] > 0 else 0.0
        found.append({"key": key, "head": head, "rival": label_of(name), "gain": gain})
    return found


def verdict(metrics: dict[str, Any]) -> dict[str, str]:
    """How the model stands against the best baseline: a tone, and a sentence."""
    found = rivals(metrics)
    if not found:
        return {"tone": "unknown", "text": "There are no baseline scores to compare with."}
    won = [one for one in found if one["gain"] >= 0.0005]
    lost = [one for one in found if one["gain"] <= -0.0005]
    text = []
    if won:
        text.append(f"Better than every baseline in {_listed(won, 'lower than that of')}.")
    if lost:
        text.append(f"Not better in {_listed(lost, 'higher than that of')}.")
    for one in found:
        if one not in won and one not in lost:
            text.append(f"As good as {one['rival']} in {one['head']}.")
    tone = "better" if not lost and won else "worse" if not won else "mixed"
    return {"tone": tone, "text": " ".join(text)}


def _listed(found: list[dict[str, Any]], than: str) -> str:
    parts = [
        f"{one['head']} ({percent(abs(one['gain']), 1)} {than} {one['rival']})" for one in found
    ]
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def cards(metrics: dict[str, Any], robustness: Sequence[dict[str, Any]]) -> list[dict[str, str]]:
    """The few numbers at the top."""
    made = []
    for one in rivals(metrics):
        if one["key"] == "mae":
            continue
        side = "lower" if one["gain"] >= 0 else "higher"
        tone = "better" if one["gain"] >= 0.0005 else "worse"
        text = f"{one['head']} {side} than the best baseline, {one['rival']}"
        made.append({"value": percent(abs(one["gain"]), 1), "text": text, "tone": tone})
    covered = (metrics.get("model") or {}).get("coverage_90")
    if finite(covered):
        tone = "better" if 0.85 <= covered <= 0.95 else "worse"
        text = "of what was observed later lay in the 90 % band (it should be 85 to 95 %)"
        made.append({"value": percent(covered), "text": text, "tone": tone})
    most = max(robustness, key=lambda row: row.get("deleted") or 0.0, default={})
    if most.get("deleted") and finite(most.get("increase")):
        text = f"RMSE when {percent(most['deleted'])} of the observations are deleted"
        made.append({"value": signed(most["increase"]), "text": text, "tone": "plain"})
    return made


def coverage_sentence(metrics: dict[str, Any]) -> str:
    """Whether the bands hold what they promise."""
    covered = (metrics.get("model") or {}).get("coverage_90")
    if not finite(covered):
        return ""
    if covered < 0.85:
        return f"The 90 % band is too narrow: it held {percent(covered)} of what was observed later."
    if covered > 0.95:
        return f"The 90 % band is wider than need be: it held {percent(covered)} of what was observed later."
    return f"The 90 % band held {percent(covered)} of what was observed later, as it should."


def channel_rows(metrics: dict[str, Any]) -> dict[str, Any] | None:
    """The model's scores of each channel, where there are several."""
    channels = metrics.get("channels")
    if not channels:
        return None
    rows = [
        {
            "name": name_of(channel),
            "cells": [
                percent((scores or {}).get(key)) if nominal else number((scores or {}).get(key))
                for key, _, nominal in SCORES
            ],
        }
        for channel, scores in channels.items()
    ]
    return {"heads": [head for _, head, _ in SCORES], "rows": rows}


def robustness_rows(robustness: Sequence[dict[str, Any]]) -> list[dict[str, str]]:
    """What deleting observations costs."""
    return [
        {
            "deleted": percent(row.get("deleted")) if row.get("deleted") else "none",
            "rmse": number(row.get("rmse")),
            "spread": number(row.get("spread"), 2) if row.get("deleted") else "",
            "increase": signed(row.get("increase")) if row.get("deleted") else "",
        }
        for row in robustness or ()
    ]


def data_facts(table: SeriesTable, source: str) -> list[tuple[str, str]]:
    """What the model was given."""
    cells = sum(one.values.size for one in table.series)
    missing = sum(int(np.isnan(one.values).sum()) for one in table.series)
    first, last = table.span
    gaps = np.concatenate([np.diff(one.times) for one in table.series])
    facts = [
        ("Source", source),
        ("Series", f"{len(table.series):,}"),
        ("Channels", ", ".join(name_of(channel) for channel in table.channels)),
        ("Rows", f"{sum(map(len, table.series)):,}"),
        ("Time", f"{moment(table, first)} to {moment(table, last)} ({span(table, last - first)})"),
        ("Cells not observed", f"{missing:,} of {cells:,} ({percent(missing / max(cells, 1))})"),
    ]
    if len(gaps):
        low, middle, high = (float(np.quantile(gaps, level)) for level in (0, 0.5, 1))
        told = f"{span(table, middle)} at the median, {span(table, low)} to {span(table, high)}"
        facts.append(("Between rows", span(table, middle) if low == high else told))
    if table.axis.kind == "datetime":
        facts.append(("Time zone", table.axis.timezone or "as in the file"))
    columns = table.columns
    named = [f"time: {columns.time}"] + ([f"series: {columns.series}"] if columns.series else [])
    facts.append(("Columns", ", ".join(map(name_of, named))))
    return facts


def series_rows(table: SeriesTable) -> dict[str, Any]:
    """Each series: rows, span, missing cells."""
    shown = evenly(table.series, _MOST_ROWS)
    rows = [_series_row(table, one) for one in shown]
    return {"rows": rows, "rest": len(table.series) - len(shown)}


def _series_row(table: SeriesTable, one: Series) -> dict[str, str]:
    first, last = float(one.times[0]), float(one.times[-1])
    return {
        "name": name_of(one.name) if one.name else "(no name)",
        "rows": f"{len(one):,}",
        "first": moment(table, first),
        "last": moment(table, last),
        "spacing": span(table, float(np.median(np.diff(one.times)))) if len(one) > 1 else "–",
        "missing": percent(float(np.isnan(one.values).mean())),
    }


def run_facts(forecaster: Any, metrics: dict[str, Any]) -> list[tuple[str, str]]:
    """What made the forecast, and how long it took."""
    table, history = forecaster.table_, list(forecaster.history_ or ())
    trained = metrics.get("training_seconds") or sum(row.get("seconds") or 0.0 for row in history)
    facts = [
        ("Horizon", span(table, getattr(forecaster, "horizon_", None))),
        ("Seasons", ", ".join(span(table, one) for one in getattr(forecaster, "periods_", ())) or "none"),
        ("Epochs", f"{len(history)}, the best was {getattr(forecaster, 'best_epoch_', '–')}"),
        ("Function evaluations a solve (NFE)", number(getattr(forecaster, "nfe_", None))),
        ("Training of the latent ODE", seconds(trained)),
        ("Whole run", seconds(metrics.get("seconds"))),
        ("Seed", str(metrics.get("seed", getattr(forecaster, "seed", "–")))),
        ("Backtest", _windows(metrics)),
        ("Width of the bands", _width(metrics)),
    ]
    names = (("Isocline", "version"), ("JAX", "jax"), ("Python", "python"))
    facts += [(head, str(metrics[key])) for head, key in names if metrics.get(key)]
    return [(head, text) for head, text in facts if text not in ("", "–")]


def _windows(metrics: dict[str, Any]) -> str:
    windows, origins = metrics.get("windows"), metrics.get("origins") or []
    return f"{count(windows, 'forecast')} from {count(len(origins), 'origin')}" if windows else ""


def _width(metrics: dict[str, Any]) -> str:
    width = metrics.get("interval_width")
    return f"{number(width)} times the model's own, by past forecasts" if finite(width) else ""


def settings_rows(forecaster: Any, metrics: dict[str, Any]) -> list[tuple[str, str]]:
    """Every setting, as text."""
    chosen = dict(forecaster.settings() if hasattr(forecaster, "settings") else {})
    chosen |= metrics.get("settings") or {}
    return [(name, _setting(value)) for name, value in chosen.items()]


def _setting(value: Any) -> str:
    if value is None:
        return "not given"
    if isinstance(value, (list, tuple)):
        return ", ".join(map(str, value)) or "none"
    return str(value)
