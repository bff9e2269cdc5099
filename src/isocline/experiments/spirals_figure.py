"""The figure of the spirals, in the manner of the paper's figure 8."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from isocline.data.spirals import Spirals

from .results import save_figure

COLOURS = {"rnn": "#999999", "rnn_gaps": "#D55E00", "latent_ode": "#0072B2"}
LABELS = {"rnn": "RNN", "rnn_gaps": "RNN with time differences", "latent_ode": "latent ODE"}
CURVES = 3  # of each sense


def draw(out: Path, data: Spirals, shown: dict[str, np.ndarray], observations: int) -> None:
    """Test curves of both senses: observations, clean continuation, and forecasts.

    Args:
        out: where spirals.png and spirals.svg go.
        data: the curves.
        shown: by model, forecasts `(curves, 100, 2)` of the first test curves.
        observations: of each curve.
    """
    from matplotlib.figure import Figure

    kept = len(next(iter(shown.values())))
    sense = data.clockwise[data.test[:kept]]
    chosen = [np.flatnonzero(sense == side)[:CURVES] for side in (True, False)]
    figure = Figure(figsize=(9.6, 6.6), layout="constrained")
    axes = figure.subplots(2, CURVES, squeeze=False)
    for row, (positions, name) in enumerate(
        zip(chosen, ("clockwise", "counter-clockwise"), strict=True)
    ):
        for column in range(CURVES):
            axis = axes[row, column]
            axis.set_axis_off()
            if column >= len(positions):
                continue
            position = positions[column]
            curve = data.test[position]
            axis.plot(
                *data.future[curve].T, color="black", lw=4, alpha=0.18, label="true continuation"
            )
            axis.plot(*data.values[curve].T, ".", color="black", ms=4, label="observed, with noise")
            for kind, forecasts in shown.items():
                axis.plot(*forecasts[position].T, color=COLOURS[kind], lw=1.6, label=LABELS[kind])
            axis.set_aspect("equal", adjustable="datalim")
            axis.set_title(name, fontsize=10)
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3, frameon=False)
    figure.suptitle(f"Spirals from {observations} of 100 points: forecasts of test curves")
    save_figure(figure, out, "spirals")
