"""The figures of the spirals' test curves, in the manner of the paper's figure 8."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from isocline.data.spirals import Spirals

from .results import frame_square, save_figure

COLOURS = {
    "rnn": "#999999",
    "rnn_gaps": "#D55E00",
    "latent_ode": "#0072B2",
    "latent_ode_both": "#009E73",
}
LABELS = {
    "rnn": "RNN",
    "rnn_gaps": "RNN with time differences",
    "latent_ode": "latent ODE",
    "latent_ode_both": "latent ODE, trained both ways",
}
CURVES = 3  # of each sense


def draw(out: Path, data: Spirals, shown: dict[str, np.ndarray], observations: int) -> None:
    """Test curves of both senses: observations, clean continuation, and forecasts.

    Args:
        out: where spirals.png and spirals.svg go.
        data: the curves.
        shown: by model, forecasts `(curves, 100, 2)` of the first test curves.
        observations: of each curve.
    """
    figure, panels = _panels(data, len(next(iter(shown.values()))))
    for axis, position in panels:
        curve = data.test[position]
        axis.plot(*data.future[curve].T, color="black", lw=4, alpha=0.18, label="true continuation")
        _observed(axis, data, curve)
        for kind, forecasts in shown.items():
            axis.plot(*forecasts[position].T, color=COLOURS[kind], lw=1.6, label=LABELS[kind])
        axis.set_aspect("equal", adjustable="datalim")
    _finish(figure, panels)
    figure.suptitle(f"Spirals from {observations} of 100 points: forecasts of test curves")
    save_figure(figure, out, "spirals")


def draw_both_ways(
    out: Path,
    data: Spirals,
    shown: dict[str, tuple[np.ndarray, np.ndarray]],
    observations: int,
) -> None:
    """The same with what came before: forwards a full line, backwards a broken one.

    Args:
        out: where both_ways.png and both_ways.svg go.
        data: the curves.
        shown: by model, for the first test curves, the 100 points before the window and the 100 of
            it, `(curves, 200, 2)`, and the forecasts `(curves, 100, 2)`.
        observations: of each curve.
    """
    figure, panels = _panels(data, len(next(iter(shown.values()))[0]))
    for axis, position in panels:
        curve = data.test[position]
        for truth, label in ((data.past, "true past and continuation"), (data.future, None)):
            axis.plot(*truth[curve].T, color="black", lw=4, alpha=0.18, label=label)
        _observed(axis, data, curve)
        for kind, (behind, ahead) in shown.items():
            style = {"color": COLOURS[kind], "lw": 1.6}
            axis.plot(*ahead[position].T, label=f"{LABELS[kind]}: forwards", **style)
            axis.plot(*behind[position].T, "--", label=f"{LABELS[kind]}: backwards", **style)
        frame_square(
            axis, np.concatenate([data.past[curve], data.values[curve], data.future[curve]])
        )
    _finish(figure, panels)
    figure.suptitle(
        f"Spirals from {observations} of 100 points: one latent state at the end of the window, "
        "solved in both directions of time"
    )
    save_figure(figure, out, "both_ways")


def _panels(data: Spirals, kept: int) -> tuple[Any, list[tuple[Any, int]]]:
    """A figure with a row for each sense; its panels, and the position of a test curve for each."""
    from matplotlib.figure import Figure

    sense = data.clockwise[data.test[:kept]]
    figure = Figure(figsize=(9.6, 6.6), layout="constrained")
    axes = figure.subplots(2, CURVES, squeeze=False)
    panels = []
    for row, (side, name) in enumerate(((True, "clockwise"), (False, "counter-clockwise"))):
        positions = np.flatnonzero(sense == side)[:CURVES]
        for axis in axes[row]:
            axis.set_axis_off()
        for axis, position in zip(axes[row], positions):
            axis.set_title(name, fontsize=10)
            panels.append((axis, int(position)))
    return figure, panels


def _observed(axis: Any, data: Spirals, curve: int) -> None:
    axis.plot(*data.values[curve].T, ".", color="black", ms=4, label="observed, with noise")


def _finish(figure: Any, panels: list[tuple[Any, int]]) -> None:
    """One legend for all panels."""
    handles, labels = panels[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3, frameon=False)
