"""The page about a density: its columns and their pairs, beside rows drawn from it."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import Any

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined

from isocline._version import __version__

from .axes import Size, dots, label_bottom, new_axes, value_axis
from .diagnostics import training_panels
from .svg import ROLES, Panel, to_svg
from .words import count, listed, name_of, number

_MOST_COLUMNS, _MOST_PAIRS, _MOST_DOTS, _BINS = 12, 9, 500, 40
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
    model, normal = metrics["model"], metrics["normal"]
    gain = normal["nll"] - model["nll"]
    pairs = list(combinations(range(len(names)), 2))[:_MOST_PAIRS]
    lowest = np.argsort(scores)[:10]
    stages = dict.fromkeys(row["stage"] for row in history)
    parts = {
        "version": __version__,
        "title": f"Density of {listed([name_of(name) for name in names[:4]])}"
        + (f" and {len(names) - 4} more columns" if len(names) > 4 else ""),
        "verdict": {
            "tone": "better" if gain > 0 else "worse",
            "text": f"On {metrics['data']['tested']:,} rows kept apart, the flow has an NLL of "
            f"{number(model['nll'], 4)} nats a row, a normal distribution "
            f"{number(normal['nll'], 4)}.",
        },
        "pairs": [_pair(names, rows, sample, pair) for pair in pairs],
        "columns": [
            _column(names[index], rows[:, index], sample[:, index], index)
            for index in range(min(len(names), _MOST_COLUMNS))
        ],
        "scores": _scores(scores),
        "names": [name_of(name) for name in names],
        "lowest": [
            (int(row) + 1, number(float(scores[row]), 4), [number(v, 4) for v in rows[row]])
            for row in lowest
        ],
        "training": [
            (
                _STAGES.get(stage, stage),
                _renamed(
                    training_panels([row for row in history if row["stage"] == stage], None), stage
                ),
            )
            for stage in stages
        ],
        "facts_of_run": [
            ("Data", f"{source}, {count(len(rows), 'row')}"),
            ("Given", listed(metrics["data"]["context"]) if metrics["data"]["context"] else "–"),
            ("Parameters", f"{metrics['parameters']:,}"),
            ("Evaluations a row", number(metrics["nfe"])),
            ("Training", f"{number(metrics['training_seconds'])} s"),
            ("Seed", str(metrics["settings"]["seed"])),
        ],
        "command": command,
    }
    environment = Environment(
        loader=PackageLoader("isocline.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("density.html").render(parts)


def _renamed(panels: list[Panel], stage: str) -> list[Panel]:
    """Ids that no other stage has."""
    return [
        Panel(one.title, tuple(svg.replace("training-", f"{stage}-") for svg in one.svgs), note=one.note)
        for one in panels
    ]


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
