"""The page about a density: its columns and their pairs, beside rows drawn from it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations
from typing import Any

import numpy as np

from .axes import Size, dots, label_bottom, new_axes, value_axis
from .diagnostics import training_panels
from .rendering import rendered
from .svg import ROLES, Panel, to_svg
from .words import count, listed, name_of, number

_MOST_COLUMNS, _MOST_PAIRS, _MOST_DOTS, _BINS = 12, 9, 500, 40
_MOST_LISTED = 10
_STAGES = {"matching": "Flow matching", "likelihood": "Maximum likelihood"}


def density_page(
    *,
    names: Sequence[str],
    rows: np.ndarray,
    sample: np.ndarray,
    scores: np.ndarray,
    history: Sequence[dict[str, Any]],
    metrics: dict[str, Any],
    command: str,
    source: str,
) -> str:
    """One HTML page about a density. It needs nothing else: no network, scripts or other files.

    Args:
        names: of the columns.
        rows: of the data.
        sample: drawn from the density.
        scores: the log-density of each row of the data.
        history: of training.
        metrics: as in metrics.json.
        command: that made the density.
        source: name of the data.
    """
    pairs = list(combinations(range(len(names)), 2))[:_MOST_PAIRS]
    shown = range(min(len(names), _MOST_COLUMNS))
    parts = {
        "title": _title(names),
        "verdict": _verdict(metrics),
        "pairs": [_pair(names, rows, sample, pair) for pair in pairs],
        "columns": [_column(names[i], rows[:, i], sample[:, i], i) for i in shown],
        "scores": _scores(scores),
        "names": [name_of(name) for name in names],
        "lowest": _lowest(rows, scores),
        "training": _training(history),
        "facts_of_run": _facts(metrics, source),
        "command": command,
    }
    return rendered("density.html", parts)


def _title(names: Sequence[str]) -> str:
    rest = f" and {len(names) - 4} more columns" if len(names) > 4 else ""
    return f"Density of {listed([name_of(name) for name in names[:4]])}{rest}"


def _verdict(metrics: dict[str, Any]) -> dict[str, str]:
    """The likelihood of rows that were kept apart, beside a normal distribution's."""
    model, normal = metrics["model"]["nll"], metrics["normal"]["nll"]
    text = (
        f"On {metrics['data']['tested']:,} rows kept apart, the flow has an NLL of "
        f"{number(model, 4)} nats a row, a normal distribution {number(normal, 4)}."
    )
    return {"tone": "better" if (model or np.inf) < (normal or np.inf) else "worse", "text": text}


def _lowest(rows: np.ndarray, scores: np.ndarray) -> list[tuple[int, str, list[str]]]:
    """The rows that are least likely: number, log-density and cells."""
    return [
        (int(row) + 1, number(float(scores[row]), 4), [number(v, 4) for v in rows[row]])
        for row in np.argsort(scores)[:_MOST_LISTED]
    ]


def _facts(metrics: dict[str, Any], source: str) -> list[tuple[str, str]]:
    given = metrics["data"]["context"]
    return [
        ("Data", f"{source}, {count(metrics['data']['rows'], 'row')}"),
        ("Given", listed(given) if given else "–"),
        ("Parameters", f"{metrics['parameters']:,}"),
        ("Evaluations a row", number(metrics["nfe"])),
        ("Training", f"{number(metrics['training_seconds'])} s"),
        ("Seed", str(metrics["settings"]["seed"])),
    ]


def _training(history: Sequence[dict[str, Any]]) -> list[tuple[str, list[Panel]]]:
    """The panels of each stage, with ids that no other stage has."""
    found = []
    for stage in dict.fromkeys(row["stage"] for row in history):
        panels = training_panels([row for row in history if row["stage"] == stage], None)
        renamed = [
            replace(one, svgs=tuple(svg.replace("training-", f"{stage}-") for svg in one.svgs))
            for one in panels
        ]
        found.append((_STAGES.get(stage, stage), renamed))
    return found


def _pair(
    names: Sequence[str], rows: np.ndarray, sample: np.ndarray, pair: tuple[int, int]
) -> Panel:
    across, up = pair
    axes = new_axes(Size(340, 300), ROLES)
    for points, role in ((rows, "ink"), (sample, "model")):
        some = points[:: max(len(points) // _MOST_DOTS, 1)][:_MOST_DOTS]
        dots(axes, some[:, across], some[:, up], color=ROLES[role], size=2.4)
    axes.set_xlim(*_limits(rows[:, across]))
    value_axis(axes, np.array(_limits(rows[:, up])))
    label_bottom(axes, names[across])
    title = f"{name_of(names[up])} against {name_of(names[across])}"
    label = f"{title}: rows of the data, and rows drawn from the density."
    return Panel(title, (to_svg(axes, f"pair-{across}-{up}", label),))


def _limits(values: np.ndarray) -> tuple[float, float]:
    low, high = np.quantile(values, (0.002, 0.998))
    room = 0.06 * (high - low)
    return float(low - room), float(high + room)


def _column(name: str, values: np.ndarray, drawn: np.ndarray, index: int) -> Panel:
    axes = new_axes(Size(), ROLES)
    edges = np.linspace(*_limits(values), _BINS + 1)
    heights = []
    for points, role in ((values, "ink"), (drawn, "model")):
        found = np.histogram(points, edges)[0] / (len(points) * np.diff(edges))
        axes.stairs(found, edges, color=ROLES[role], linewidth=1.4)
        heights.append(found)
    value_axis(axes, np.concatenate([*heights, [0.0]]), most=4)
    axes.set_xlim(edges[0], edges[-1])
    label_bottom(axes, name)
    title = name_of(name)
    label = f"Histograms of {title}: of the data, and of rows drawn from the density."
    return Panel(title, (to_svg(axes, f"column-{index}", label),))


def _scores(scores: np.ndarray) -> Panel:
    finite = scores[np.isfinite(scores)]
    axes = new_axes(Size(), ROLES)
    found, edges = np.histogram(finite, _BINS)
    axes.stairs(found, edges, color=ROLES["ink"], linewidth=1.4)
    value_axis(axes, np.append(found, 0).astype(float), most=4)
    label_bottom(axes, "log-density of a row, nats")
    note = f"A hundredth of the rows are below {number(float(np.quantile(finite, 0.01)), 4)}."
    return Panel("Log-densities", (to_svg(axes, "scores", f"Log-densities. {note}"),), note=note)
