"""The ways that flows take from the normal to the data, with and without what straightens them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from isocline.data import plane_density
from isocline.estimators import ContinuousFlow

from .densities_figure import save_images
from .flows_figure import paths_of
from .results import run_name

_SHOWN = 60


def draw_ways(out: Path, densities: Sequence[str], models: Sequence[str], seed: int) -> None:
    """A row a density, a column a model: where points end, and the ways of some of them."""
    from matplotlib.figure import Figure

    size = (2.0 * len(models), 2.1 * len(densities))
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots(len(densities), len(models), squeeze=False)
    for row, density in zip(axes, densities):
        extent = plane_density(density).extent
        for axis, model in zip(row, models):
            learnt = ContinuousFlow.load(out / "models" / run_name(density, model, seed))
            paths = paths_of(learnt, np.linspace(0, 1, 41))
            # As an image: thousands of points would make the SVG large.
            axis.scatter(*paths[-1].T, s=0.4, color="#0072B2", linewidths=0, rasterized=True)
            for path in np.moveaxis(paths, 0, 1)[:_SHOWN]:
                axis.plot(*path.T, color="#555555", linewidth=0.5)
                axis.plot(*path[-1], ".", color="#D55E00", markersize=3)
            axis.set(xlim=(-extent, extent), ylim=(-extent, extent), xticks=[], yticks=[])
            axis.set_aspect("equal")
        row[0].set_ylabel(density)
    for axis, model in zip(axes[0], models):
        axis.set_title(model.replace(", ", ",\n"), fontsize=8)
    save_images(figure, out, "ways")
