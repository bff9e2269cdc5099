"""Figures about the model: skill by lead time, coverage, latent trajectories, training."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from isocline.data import SeriesTable

from .axes import Size, dots, fit_margins, new_axes, plain_axis, value_axis
from .svg import ROLES, to_svg
from .words import count, label_of, number

_SIZE = Size(440, 270)
_BINS, _FEWEST_IN_BIN = 8, 12
DASHES = {
    "model": "-",
    "persistence": (0, (1, 1.6)),
    "seasonal_naive": (0, (5, 2)),
    "climatology": (0, (5, 1.5, 1, 1.5)),
    "gru": (0, (9, 2)),
}
Curve = tuple[np.ndarray, np.ndarray]


def curves_by_lead(lead: np.ndarray, values: dict[str, np.ndarray], observed: np.ndarray) -> dict[str, Curve]:
    """RMSE of each method in bins of lead time with about equally many observations."""
    seen = np.isfinite(observed)
    lead, observed = lead[seen], observed[seen]
    edges = _edges(lead)
    if not len(edges):
        return {}
    place = np.clip(np.searchsorted(edges, lead, side="left") - 1, 0, len(edges) - 2)
    bins = np.unique(place)
    centres = np.array([lead[place == index].mean() for index in bins])
    curves = {}
    for method, predicted in values.items():
        squares = (predicted[seen] - observed) ** 2
        if np.isfinite(squares).all():
            errors = [np.sqrt(squares[place == index].mean()) for index in bins]
            curves[method] = centres, np.array(errors)
    return curves


def shares_by_lead(lead: np.ndarray, inside: np.ndarray, seen: np.ndarray) -> Curve:
    """The share of observations inside of an interval, in the same bins."""
    lead, inside = lead[seen], inside[seen]
    edges = _edges(lead)
    if not len(edges):
        return np.empty(0), np.empty(0)
    place = np.clip(np.searchsorted(edges, lead, side="left") - 1, 0, len(edges) - 2)
    bins = np.unique(place)
    centres = np.array([lead[place == index].mean() for index in bins])
    return centres, np.array([inside[place == index].mean() for index in bins])


def _edges(lead: np.ndarray) -> np.ndarray:
    if not len(lead):
        return np.empty(0)
    wanted = int(np.clip(len(lead) // _FEWEST_IN_BIN, 1, _BINS))
    edges = np.unique(np.quantile(lead, np.linspace(0, 1, wanted + 1)))
    return edges if len(edges) > 1 else np.array([edges[0] - 0.5, edges[0] + 0.5])


def lead_figure(curves: dict[str, Curve], axis: str, channel: str, name: str) -> dict[str, Any]:
    """RMSE by lead time."""
    axes = new_axes(_SIZE, ROLES)
    for method, (leads, errors) in curves.items():
        role = method if method in ROLES else "muted"
        top = method == "model"
        axes.plot(
            leads, errors, color=ROLES[role], linestyle=DASHES.get(method, "--"),
            linewidth=2.4 if top else 1.5, zorder=4 if top else 3,
        )  # fmt: skip
        if top:
            dots(axes, leads, errors, color=ROLES[role], size=6, zorder=5)
    value_axis(axes, np.concatenate([[0.0], *(errors for _, errors in curves.values())]))
    axes.set_ylim(bottom=0)
    _bottom(axes, axis)
    ends = "; ".join(
        f"{label_of(method)} from {number(float(errors[0]))} to {number(float(errors[-1]))}"
        for method, (_, errors) in curves.items()
    )
    svg = to_svg(axes.figure, name, f"RMSE of {channel} by lead time: {ends}.")
    return {"title": f"RMSE of {channel}", "svg": svg, "note": ""}


def coverage_figure(shares: dict[float, Curve], axis: str, name: str) -> dict[str, Any]:
    """The share of observations inside of the bands by lead time, beside what it should be."""
    axes = new_axes(_SIZE, ROLES)
    said = []
    for nominal, (leads, inside) in shares.items():
        axes.axhline(100 * nominal, color=ROLES["muted"], linewidth=1, linestyle=(0, (2, 2)))
        axes.plot(leads, 100 * inside, color=ROLES["model"], linewidth=2.2 if nominal > 0.7 else 1.5)
        dots(axes, leads, 100 * inside, color=ROLES["model"], size=6)
        said.append(
            f"{nominal:.0%} band from {float(inside.min()):.0%} to {float(inside.max()):.0%}"
        )
    axes.set_ylim(0, 102)
    axes.set_yticks([0, 25, 50, 75, 90, 100])
    axes.yaxis.set_major_formatter("{x:.0f} %")
    _bottom(axes, axis)
    svg = to_svg(axes.figure, name, f"Share of observations inside of the bands: {'; '.join(said)}.")
    return {"title": "Observations inside of the bands", "svg": svg, "note": ""}


def _bottom(axes: Axes, axis: str) -> None:
    plain_axis(axes)
    axes.set_xlabel(axis, color=ROLES["muted"], fontsize=10.5, labelpad=3)
    fit_margins(axes, below=44)


def latent_figures(paths: Sequence[Curve], table: SeriesTable, axis: str) -> list[dict[str, Any]]:
    """The plane of the two directions in which the trajectories differ most, and each component."""
    states = [np.asarray(state, np.float64) for _, state in paths]
    times = [np.asarray(moments, np.float64) - moments[0] for moments, _ in paths]
    kept = [index for index, state in enumerate(states) if np.isfinite(state).all() and len(state)]
    states, times = [states[index] for index in kept], [times[index] for index in kept]
    if not states:
        return []
    figures = [_plane(states)] if states[0].shape[1] > 1 else []
    width = states[0].shape[1]
    for component in range(min(width, 8)):
        axes = new_axes(Size(380, 200), ROLES)
        for moments, state in zip(times, states, strict=True):
            axes.plot(moments, state[:, component], color=ROLES["model"], linewidth=1.1, alpha=0.55)
        value_axis(axes, np.concatenate([state[:, component] for state in states]), most=4)
        _bottom(axes, axis)
        low = min(float(state[:, component].min()) for state in states)
        high = max(float(state[:, component].max()) for state in states)
        label = f"Component {component + 1} of the latent state, between {number(low)} and {number(high)}."
        figures.append(
            {
                "title": f"Component {component + 1}",
                "svg": to_svg(axes.figure, f"latent-{component}", label),
                "note": "",
            }
        )
    return figures


def _plane(states: list[np.ndarray]) -> dict[str, Any]:
    together = np.concatenate(states)
    centre = together.mean(axis=0)
    _, sizes, directions = np.linalg.svd(together - centre, full_matrices=False)
    # The sign of a direction is free: its largest entry is made positive, so that it is always the same.
    signs = np.sign(directions[np.arange(len(directions)), np.abs(directions).argmax(axis=1)])
    plane = (directions * np.where(signs == 0, 1, signs)[:, None])[:2]
    axes = new_axes(Size(440, 330), ROLES)
    flat = [(state - centre) @ plane.T for state in states]
    for path in flat:
        axes.plot(path[:, 0], path[:, 1], color=ROLES["model"], linewidth=1.1, alpha=0.6)
        dots(axes, path[:1, 0], path[:1, 1], color=ROLES["ink"], size=4.5)
        dots(axes, path[-1:, 0], path[-1:, 1], color=ROLES["truth"], size=4.5, zorder=4)
    everything = np.concatenate(flat)
    value_axis(axes, everything[:, 1])
    axes.grid(axis="x", color=ROLES["grid"], linewidth=0.7)
    _bottom(axes, "first direction (across), second direction (up)")
    share = float((sizes[:2] ** 2).sum() / max((sizes**2).sum(), 1e-30))
    note = f"The two directions hold {share:.0%} of the variance."
    label = f"Latent trajectories of {count(len(states), 'series', 'series')} in a plane. {note}"
    return {"title": "Where the trajectories run", "svg": to_svg(axes.figure, "latent-plane", label), "note": note}


def training_figures(history: Sequence[dict[str, Any]], best: int | None) -> list[dict[str, Any]]:
    """Loss, validation score and NFE by epoch; the best epoch is marked."""
    epochs = np.array([row.get("epoch", index + 1) for index, row in enumerate(history)], np.float64)
    kinds = (
        ("loss", "Training loss", "ink"),
        ("validation", "Validation score (lower is better)", "model"),
        ("nfe", "Function evaluations a solve", "truth"),
    )
    figures = []
    for key, title, role in kinds:
        values = np.array([row.get(key, np.nan) for row in history], np.float64)
        if not np.isfinite(values).any():
            continue
        axes = new_axes(Size(380, 210), ROLES)
        axes.plot(epochs, values, color=ROLES[role], linewidth=1.8)
        if len(epochs) < 3:
            dots(axes, epochs, values, color=ROLES[role], size=6)
        value_axis(axes, values, most=4)
        note = f"From {number(float(values[0]))} to {number(float(values[-1]))}."
        if best and best in epochs:
            at = values[int(np.flatnonzero(epochs == best)[0])]
            axes.axvline(best, color=ROLES["muted"], linewidth=0.8, linestyle=(0, (2, 2)))
            dots(axes, np.array([float(best)]), np.array([at]), color=ROLES[role], size=8, zorder=5)
            note += f" {number(float(at))} in the best epoch, {best}."
        _bottom(axes, "epoch")
        axes.set_xlim(epochs.min() - 0.6, epochs.max() + 0.6)
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        svg = to_svg(axes.figure, f"training-{key}", f"{title} by epoch. {note}")
        figures.append({"title": title, "svg": svg, "note": note})
    return figures
