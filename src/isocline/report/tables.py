"""The tables and sentences of the page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from isocline.data import Series, SeriesTable

from .bands import Band, seen_by_channel
from .choosing import evenly
from .words import (
    LABELS,
    count,
    finite,
    label_of,
    listed,
    moment,
    name_of,
    number,
    percent,
    seconds,
    signed,
    span,
)

# Score, its heading, and the value it should be near (None: the lower the better).
SCORES = (
    ("rmse", "RMSE", None),
    ("mae", "MAE", None),
    ("crps", "CRPS", None),
    ("coverage_50", f"Inside {percent(0.5)} band", 0.5),
    ("coverage_90", f"Inside {percent(0.9)} band", 0.9),
)
_MOST_ROWS = 200
_VERDICTS = {
    "better": "Better than every baseline",
    "worse": "Not better than the best baseline",
    "same": "As good as the best baseline",
}
_GOOD_COVERAGE = (0.85, 0.95)
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


@dataclass(frozen=True)
class Rival:
    """The best baseline in one error score, and the share by which the model's error is lower."""

    score: str
    name: str
    gain: float

    @property
    def tone(self) -> str:
        """How the model stands: better, worse or, where a table would show no difference, same."""
        return "same" if abs(self.gain) < 0.0005 else "better" if self.gain > 0 else "worse"

    @property
    def side(self) -> str:
        """Where the model's error is."""
        return "lower" if self.gain >= 0 else "higher"


def rivals(metrics: dict[str, Any]) -> list[Rival]:
    """The rival in each error score that both the model and a baseline have."""
    model = metrics.get("model") or {}
    found = []
    for key, head, _ in _ERRORS:
        scores = {
            name: entry[key]
            for name, entry in (metrics.get("baselines") or {}).items()
            if entry and finite(entry.get(key))
        }
        if scores and finite(model.get(key)):
            name = min(scores, key=lambda one: scores[one])
            gain = 1 - model[key] / scores[name] if scores[name] > 0 else 0.0
            found.append(Rival(head, label_of(name), gain))
    return found


def verdict(metrics: dict[str, Any]) -> dict[str, str]:
    """How the model stands against the best baselines: a tone, and sentences."""
    found = rivals(metrics)
    if not found:
        return {"tone": "unknown", "text": "There are no baseline scores to compare with."}
    parts = {tone: [one for one in found if one.tone == tone] for tone in _VERDICTS}
    sentences = [f"{_VERDICTS[tone]}: {_compared(part)}." for tone, part in parts.items() if part]
    tones = {one.tone for one in found} - {"same"} or {"same"}
    return {"tone": tones.pop() if len(tones) == 1 else "mixed", "text": " ".join(sentences)}


def _compared(found: list[Rival]) -> str:
    """Rivals of one tone, such as: RMSE 3.1 % and MAE 2.0 % lower than the GRU."""
    parts = []
    for name in dict.fromkeys(one.name for one in found):
        own = [one for one in found if one.name == name]
        if own[0].tone == "same":
            parts.append(f"{listed([one.score for one in own])} as that of {name}")
        else:
            gains = listed([f"{one.score} {percent(abs(one.gain), 1)}" for one in own])
            parts.append(f"{gains} {own[0].side} than {name}")
    return "; ".join(parts)


def cards(metrics: dict[str, Any], robustness: Sequence[dict[str, Any]]) -> list[dict[str, str]]:
    """The few numbers at the top."""
    made = []
    for one in rivals(metrics):
        if one.score != "MAE":  # it hardly ever differs from the RMSE in what it says
            text = f"{one.score} {one.side} than the best baseline, {one.name}"
            made.append({"value": percent(abs(one.gain), 1), "text": text, "tone": one.tone})
    return made + _coverage_card(metrics) + _deletion_card(robustness)


def _coverage_card(metrics: dict[str, Any]) -> list[dict[str, str]]:
    covered = _covered(metrics)
    if covered is None:
        return []
    low, high = _GOOD_COVERAGE
    text = (
        f"of what was observed later lay in the {percent(0.9)} band (it should be "
        f"{100 * low:.0f} to {percent(high)})"
    )
    tone = "better" if low <= covered <= high else "worse"
    return [{"value": percent(covered), "text": text, "tone": tone}]


def _deletion_card(robustness: Sequence[dict[str, Any]]) -> list[dict[str, str]]:
    most = max(robustness, key=lambda row: row.get("deleted") or 0.0, default={})
    if not most.get("deleted") or not finite(most.get("increase")):
        return []
    text = f"RMSE when {percent(most['deleted'])} of the observations are deleted"
    return [{"value": signed(most["increase"]), "text": text, "tone": "plain"}]


def coverage_sentence(metrics: dict[str, Any]) -> str:
    """Whether the bands hold what they promise."""
    covered = _covered(metrics)
    if covered is None:
        return ""
    low, high = _GOOD_COVERAGE
    width = "too narrow" if covered < low else "wider than need be" if covered > high else "right"
    held = f"it held {percent(covered)} of what was observed later"
    return f"The {percent(0.9)} band is {width}: {held}."


def _covered(metrics: dict[str, Any]) -> float | None:
    """The share inside of the 90 % band, rounded as it is shown: what is said of it must fit."""
    covered: Any = (metrics.get("model") or {}).get("coverage_90")
    return round(covered, 2) if finite(covered) else None


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


def channel_errors(
    channels: Sequence[str], past: dict[tuple[str, str], Band]
) -> dict[str, Any] | None:
    """RMSE of model and baselines in each channel, where there are several, the best marked.

    Pooled scores say little where channels have different units.
    """
    seen = seen_by_channel(past)
    errors = {channel: seen[channel].rmse() for channel in channels if channel in seen}
    methods = [name for name in LABELS if any(name in found for found in errors.values())]
    if len(channels) < 2 or len(methods) < 2:
        return None
    rows = []
    for channel, found in errors.items():
        best = _best({name: {"rmse": error} for name, error in found.items()}, "rmse", None)
        cells = [{"text": number(found.get(name)), "best": name in best} for name in methods]
        rows.append({"name": name_of(channel), "model": False, "cells": cells})
    return {"heads": [label_of(name) for name in methods], "rows": rows}


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
    cells = np.concatenate([one.values.ravel() for one in table.series])
    missing = int(np.isnan(cells).sum())
    first, last = table.span
    facts = [
        ("Source", source),
        ("Series", f"{len(table.series):,}"),
        ("Channels", ", ".join(name_of(channel) for channel in table.channels)),
        ("Known ahead", ", ".join(map(name_of, table.columns.known))),
        ("Covariates of the past", ", ".join(map(name_of, table.columns.past))),
        ("Static covariates", ", ".join(map(name_of, table.columns.static))),
        ("Rows", f"{sum(map(len, table.series)):,}"),
        ("Time", f"{moment(table, first)} to {moment(table, last)}: {span(table, last - first)}"),
        ("Cells not observed", f"{missing:,} of {len(cells):,} ({percent(missing / len(cells))})"),
        ("Between rows", _spacing(table)),
    ]
    if table.axis.kind == "datetime":
        facts.append(("Time zone", table.axis.timezone or "as in the file"))
    facts.append(("Time column", name_of(table.columns.time)))
    if table.columns.series:
        facts.append(("Series column", name_of(table.columns.series)))
    return [(head, text) for head, text in facts if text]


def _spacing(table: SeriesTable) -> str:
    gaps = np.concatenate([np.diff(one.times) for one in table.series])
    if not len(gaps):
        return ""
    low, middle, high = (span(table, float(value)) for value in np.quantile(gaps, (0, 0.5, 1)))
    return middle if low == high else f"{middle} at the median, {low} to {high}"


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
        (
            "Seasons",
            ", ".join(span(table, one) for one in getattr(forecaster, "periods_", ())) or "none",
        ),
        ("Epochs", f"{len(history)}, the best was {getattr(forecaster, 'best_epoch_', '–')}"),
        ("Function evaluations a solve (NFE)", number(getattr(forecaster, "nfe_", None))),
        ("Training of the latent ODE", seconds(trained)),
        ("Whole run", seconds(metrics.get("seconds"))),
        ("Seed", str(metrics.get("seed", getattr(forecaster, "seed", "–")))),
        ("Backtest", _windows(metrics)),
        ("Shares in the forecast", _shares(metrics)),
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


def _shares(metrics: dict[str, Any]) -> str:
    """What the forecast is a mean of: the latent ODE, and the rules beside it."""
    rules = {name: share for name, share in (metrics.get("shares") or {}).items() if share > 0}
    names = {"persistence": "the last value", "linear": "linear regression"}
    parts = [f"{percent(share)} {names.get(name, name)}" for name, share in rules.items()]
    return ", ".join([f"{percent(1 - sum(rules.values()))} latent ODE", *parts]) if rules else ""


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
