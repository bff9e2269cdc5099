"""The densities that flows have learnt, beside the exact ones."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from isocline.data import plane_density
from isocline.estimators import ContinuousFlow, NormalizingFlow


def draw_densities(
    out: Path, densities: Sequence[str], models: Sequence[str], seed: int, points: int
) -> None:
    """A row a density: the exact one, and what each model has learnt."""
    from matplotlib.figure import Figure

    from .densities import grid_of
    from .results import run_name

    size = (1.7 * (len(models) + 1), 1.8 * len(densities))
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots(len(densities), len(models) + 1, squeeze=False)
    for row, density in zip(axes, densities):
        grid, _ = grid_of(density, points)
        exact = np.exp(plane_density(density).log_prob(grid.astype(np.float64)))
        show(row[0], exact, points, exact.max())
        row[0].set_ylabel(density)
        for axis, model in zip(row[1:], models):
            kind = NormalizingFlow if "planar" in model else ContinuousFlow
            learnt = kind.load(out / "models" / run_name(density, model, seed))
            show(axis, np.exp(learnt.score_samples(grid)), points, exact.max())
    for axis, title in zip(axes[0], ("exact", *models)):
        axis.set_title(title.replace(", then", ",\nthen").replace("NF, ", "NF,\n"), fontsize=8)
    save_images(figure, out, "densities")


def show(axis: Any, values: np.ndarray, points: int, top: float) -> None:
    """A density as an image."""
    image = values.reshape(points, points)
    axis.imshow(image, origin="lower", cmap="magma", vmin=0, vmax=top, interpolation="bilinear")
    axis.set(xticks=[], yticks=[])


def save_images(figure: Any, out: Path, name: str) -> None:
    """As PNG with 256 colours, and as SVG with small images: those of densities would be large."""
    from PIL import Image

    out.mkdir(parents=True, exist_ok=True)
    content = io.BytesIO()
    figure.savefig(content, dpi=90)
    Image.open(content).convert("RGB").quantize(256).save(out / f"{name}.png", optimize=True)
    figure.savefig(out / f"{name}.svg", dpi=60, metadata={"Date": None})
