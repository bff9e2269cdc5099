"""Pictures of planar and continuous flows: what they have learnt, and how particles move."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from isocline.data import plane_density
from isocline.estimators import ContinuousFlow, NormalizingFlow
from isocline.estimators.storing import filled, read_model
from isocline.models.flow import Flow
from isocline.models.solving import Solving
from isocline.ode import solve

from .densities import grid_of
from .densities_figure import save_images, show
from .flow_targets import log_constant, log_density
from .results import run_name

if TYPE_CHECKING:
    from .flows import Protocol

_HALF = 4.0  # of the square that is drawn of a target
_TIMES = (0.0, 0.25, 0.5, 0.75, 1.0)
_PARTICLES, _POINTS = 60, 2000


def draw_matching(out: Path, protocol: Protocol, seed: int) -> None:
    """Figure 4: targets that are known, and what each flow makes of them."""
    from .flows import build, model_name

    figure, axes, columns = _panels(protocol, len(protocol.targets))
    points = protocol.grid
    axis = _HALF * (2 * (np.arange(points) + 0.5) / points - 1)
    grid = jnp.asarray(np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2), jnp.float32)
    for row, target in zip(axes, protocol.targets):
        exact = np.exp(np.asarray(log_density(target)(grid)) - log_constant(target))
        show(row[0], exact, points, exact.max())
        row[0].set_ylabel(target)
        for panel, (kind, size) in zip(row[1:], columns):
            folder = out / "models" / run_name(target, model_name(kind, size), seed)
            _, arrays = read_model(folder, kind, "the experiment wrote")
            model = filled(build(kind, size, seed), "network", arrays)
            show(panel, np.exp(_log_prob(model, grid)), points, exact.max())
    save_images(figure, out, "matching")


def draw_likelihood(out: Path, protocol: Protocol, seed: int) -> None:
    """Figure 5: densities of samples, and what each flow has learnt."""
    from .flows import model_name

    figure, axes, columns = _panels(protocol, len(protocol.sampled))
    for row, density in zip(axes, protocol.sampled):
        grid, _ = grid_of(density, protocol.grid)
        exact = np.exp(plane_density(density).log_prob(grid.astype(np.float64)))
        show(row[0], exact, protocol.grid, exact.max())
        row[0].set_ylabel(density)
        for panel, (kind, size) in zip(row[1:], columns):
            load = NormalizingFlow.load if kind == "planar" else ContinuousFlow.load
            learnt = load(out / "models" / run_name(density, model_name(kind, size), seed))
            show(panel, np.exp(learnt.score_samples(grid)), protocol.grid, exact.max())
    save_images(figure, out, "likelihood")


def draw_particles(out: Path, protocol: Protocol, seed: int) -> None:
    """Figure 5: where points of the normal are on their way to the data, and the ways of some."""
    from matplotlib.figure import Figure

    from .flows import model_name

    rows, size = protocol.sampled, max(protocol.sizes)
    figure = Figure(figsize=(1.8 * (len(_TIMES) + 1), 1.9 * len(rows)), layout="constrained")
    axes = figure.subplots(len(rows), len(_TIMES) + 1, squeeze=False)
    for row, density in zip(axes, rows):
        folder = out / "models" / run_name(density, model_name("continuous", size), seed)
        learnt = ContinuousFlow.load(folder)
        paths = paths_of(learnt, np.linspace(0, 1, 41))
        extent = plane_density(density).extent
        for panel, t in zip(row, _TIMES):
            points = paths[round(40 * t)].T
            # As an image: thousands of points would make the SVG large.
            panel.scatter(*points, s=0.4, color="#0072B2", linewidths=0, rasterized=True)
            panel.set_title(f"t = {t:g}", fontsize=8)
        for path in np.moveaxis(paths, 0, 1)[:_PARTICLES]:
            row[-1].plot(*path.T, color="#999999", linewidth=0.5)
            row[-1].plot(*path[-1], ".", color="#D55E00", markersize=3)
        row[-1].set_title("trajectories", fontsize=8)
        for panel in row:
            panel.set(xlim=(-extent, extent), ylim=(-extent, extent), xticks=[], yticks=[])
            panel.set_aspect("equal")
        row[0].set_ylabel(density)
    save_images(figure, out, "particles")


def _panels(protocol: Protocol, rows: int) -> tuple[Any, Any, list[tuple[str, int]]]:
    from matplotlib.figure import Figure

    columns = [(kind, size) for kind in ("planar", "continuous") for size in protocol.sizes]
    figure = Figure(figsize=(1.6 * (len(columns) + 1), 1.7 * rows), layout="constrained")
    axes = figure.subplots(rows, len(columns) + 1, squeeze=False)
    titles = ["target", *(("K = " if k == "planar" else "M = ") + str(n) for k, n in columns)]
    for axis, title in zip(axes[0], titles):
        axis.set_title(title, fontsize=9)
    return figure, axes, columns


def _log_prob(model: Any, grid: Any) -> np.ndarray:
    context = jnp.zeros((len(grid), 0))
    if not isinstance(model, Flow):
        return np.asarray(eqx.filter_jit(type(model).log_prob)(model, grid, context))
    solved = partial(Flow.log_prob, solving=Solving("tsit5", 1e-4, 1e-4))
    return np.asarray(eqx.filter_jit(solved)(model, grid, context)[0])


def paths_of(learnt: ContinuousFlow, times: np.ndarray) -> np.ndarray:
    """Points of the normal at these times, in the units of the data: (times, points, 2)."""
    z = jax.random.normal(jax.random.key(0), (_POINTS, 2))
    field, context = learnt.network_.field, jnp.zeros(0)

    def slope(t: Any, z: Any) -> Any:
        return jax.vmap(lambda one: field(t, one, context))(z)

    found = solve(slope, z, jnp.asarray(times, jnp.float32), rtol=1e-4, atol=1e-4)
    return np.stack([learnt.scaling_.columns(np.asarray(ys, np.float64)) for ys in found.ys])
