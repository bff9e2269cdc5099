"""Figures about the model: latent trajectories, and the course of training."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.ticker import MaxNLocator

from .axes import Size, dots, label_bottom, new_axes, upright, value_axis
from .svg import ROLES, Panel, to_svg
from .words import count, number, percent

_MOST_COMPONENTS = 8
# Column of the history, its title and the role of its colour.
_COLUMNS = (
    ("loss", "Training loss", "ink"),
    ("validation", "Validation score (lower is better)", "model"),
    ("nfe", "Function evaluations a solve", "truth"),
)
# Times, and a row of the latent state for each.
Path = tuple[np.ndarray, np.ndarray]


def latent_panels(paths: Sequence[Path], axis: str) -> list[Panel]:
    """The plane of the two directions in which the trajectories differ most, and each component."""
    paths = [(times - times[0], states) for times, states in paths if np.isfinite(states).all()]
    if not paths:
        return []
    size = paths[0][1].shape[1]
    plane = [_plane([states for _, states in paths])] if size > 1 else []
    return plane + [_component(paths, one, axis) for one in range(min(size, _MOST_COMPONENTS))]


def _component(paths: Sequence[Path], index: int, axis: str) -> Panel:
    axes = new_axes(Size(), ROLES)
    for times, states in paths:
        axes.plot(times, states[:, index], color=ROLES["model"], linewidth=1.1, alpha=0.6)
    values = np.concatenate([states[:, index] for _, states in paths])
    value_axis(axes, values, most=4)
    label_bottom(axes, axis)
    title = f"Component {index + 1}"
    low, high = number(float(values.min())), number(float(values.max()))
    label = f"{title} of the latent state, between {low} and {high}."
    return Panel(title, (to_svg(axes, f"latent-{index}", label),))


def _plane(paths: Sequence[np.ndarray]) -> Panel:
    together = np.concatenate(paths)
    centre = together.mean(axis=0)
    _, sizes, directions = np.linalg.svd(together - centre, full_matrices=False)
    # The sign of a direction is free: with its largest entry positive it is always the same.
    signs = np.sign(directions[np.arange(len(directions)), np.abs(directions).argmax(axis=1)])
    plane = (directions * np.where(signs == 0, 1, signs)[:, None])[:2]
    axes = new_axes(Size(), ROLES)
    flat = [(states - centre) @ plane.T for states in paths]
    for path in flat:
        axes.plot(path[:, 0], path[:, 1], color=ROLES["model"], linewidth=1.1, alpha=0.6)
        dots(axes, path[:1, 0], path[:1, 1], color=ROLES["ink"], size=4.5)
        dots(axes, path[-1:, 0], path[-1:, 1], color=ROLES["truth"], size=4.5, zorder=4)
    value_axis(axes, np.concatenate(flat)[:, 1])
    axes.grid(axis="x", color=ROLES["grid"], linewidth=0.7)
    label_bottom(axes, "first direction (across), second direction (up)")
    share = float((sizes[:2] ** 2).sum() / max((sizes**2).sum(), 1e-30))
    note = f"The two directions hold {percent(share)} of the variance."
    label = f"Latent trajectories of {count(len(paths), 'series', 'series')} in a plane. {note}"
    return Panel("Where the trajectories run", (to_svg(axes, "latent-plane", label),), note=note)


def training_panels(history: Sequence[dict[str, Any]], best: int | None) -> list[Panel]:
    """Loss, validation score and NFE by epoch; the best epoch is marked."""
    epochs = np.array([row.get("epoch", index + 1) for index, row in enumerate(history)], float)
    panels = []
    for key, title, role in _COLUMNS:
        values = np.array([row.get(key, np.nan) for row in history], np.float64)
        if np.isfinite(values).any():
            panels.append(_curve(epochs, values, best, (key, title, role)))
    return panels


def _curve(
    epochs: np.ndarray, values: np.ndarray, best: int | None, column: tuple[str, str, str]
) -> Panel:
    key, title, role = column
    axes = new_axes(Size(), ROLES)
    axes.plot(epochs, values, color=ROLES[role], linewidth=1.8)
    if len(epochs) < 3:
        dots(axes, epochs, values, color=ROLES[role], size=6)
    note = f"From {number(float(values[0]))} to {number(float(values[-1]))}."
    chosen = epochs == best
    if chosen.any():
        upright(axes, float(epochs[chosen][0]), ROLES)
        dots(axes, epochs[chosen], values[chosen], color=ROLES[role], size=8, zorder=5)
        note += f" {number(float(values[chosen][0]))} in the best epoch, {best}."
    value_axis(axes, values, most=4)
    label_bottom(axes, "epoch")
    axes.set_xlim(epochs.min() - 0.6, epochs.max() + 0.6)
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    return Panel(title, (to_svg(axes, f"training-{key}", f"{title} by epoch. {note}"),), note=note)
