"""The latent space of the spirals walked through, in the manner of the paper's figure 9."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from isocline.data.spirals import WINDOW, Spirals

from .results import frame_square, save_figure
from .spirals_tracks import SCALE, context_of

STEPS = np.linspace(-2, 2, 7)  # in standard deviations of the posterior means along a direction


class Walk(NamedTuple):
    """Curves decoded from states on straight lines through the mean of the posterior means.

    Attributes:
        names: of the directions.
        shares: of the variance of the posterior means, along each.
        apart: distance of the two senses' means, in standard deviations within a sense.
        curves: from time 0 on, for a window.
        clockwise: which way each of them turns.
    """

    names: tuple[str, ...]
    shares: tuple[float, ...]
    apart: tuple[float, ...]
    curves: Float[np.ndarray, "directions steps 100 2"]
    clockwise: Bool[np.ndarray, "directions steps"]

    def rows(self) -> list[dict[str, Any]]:
        """What results.json says of it."""
        return [
            {
                "direction": name,
                "share_of_variance": share,
                "senses_apart": apart,
                "steps": STEPS.tolist(),
                "clockwise": clockwise.tolist(),
            }
            for name, share, apart, clockwise in zip(
                self.names, self.shares, self.apart, self.clockwise, strict=True
            )
        ]


def walk(model: Any, data: Spirals) -> Walk:
    """Walk along the first principal direction of the posterior means of the training curves, and
    along the one that tells the two senses apart best."""
    means, _ = model.encode(context_of(data, data.train))
    means = np.asarray(means, np.float64)
    centre = means.mean(axis=0)
    _, lengths, directions = np.linalg.svd(means - centre, full_matrices=False)
    along = (means - centre) @ directions.T
    clockwise = data.clockwise[data.train]
    sides = along[clockwise], along[~clockwise]
    within = np.sqrt((sides[0].var(axis=0) + sides[1].var(axis=0)) / 2)
    apart = np.abs(sides[0].mean(axis=0) - sides[1].mean(axis=0)) / within
    chosen = list(dict.fromkeys((0, int(np.argmax(apart)))))
    shares = lengths**2 / np.sum(lengths**2)
    # All at once: the states of one direction after those of the other.
    moved = (STEPS[:, None] * along.std(axis=0)[chosen, None, None]) * directions[chosen, None]
    states = jnp.asarray((centre + moved).reshape(-1, len(centre)), jnp.float32)
    curves = _decoded(model, states).reshape(len(chosen), len(STEPS), WINDOW, 2)
    return Walk(
        tuple(f"principal direction {index + 1}" for index in chosen),
        tuple(float(shares[index]) for index in chosen),
        tuple(float(apart[index]) for index in chosen),
        curves,
        turns_clockwise(curves),
    )


def _decoded(model: Any, states: Float[Array, "states latent"]) -> np.ndarray:
    """Means for a window from time 0 on, in the units of the data."""
    times = jnp.broadcast_to(jnp.arange(WINDOW) / WINDOW, (len(states), WINDOW))
    return SCALE * np.asarray(model.decode(states, jnp.zeros((len(states), 0)), times).mean)


def turns_clockwise(curves: Float[np.ndarray, "*curves points 2"]) -> Bool[np.ndarray, "*curves"]:
    """Whether a curve turns to the right on the whole."""
    steps = np.diff(curves, axis=-2)
    heading = np.unwrap(np.arctan2(steps[..., 1], steps[..., 0]), axis=-1)
    return np.asarray(heading[..., -1] < heading[..., 0])


def draw_walk(out: Path, found: Walk) -> None:
    """A row of panels for each direction, each with a scale of its own; a dot is the beginning."""
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize
    from matplotlib.figure import Figure

    rows, columns = found.clockwise.shape
    figure = Figure(figsize=(1.9 * columns, 2.3 * rows + 0.7), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False)
    for row in range(rows):
        for column, step in enumerate(STEPS):
            axis, curve = axes[row, column], found.curves[row, column]
            axis.scatter(*curve.T, c=np.linspace(0, 1, len(curve)), cmap="viridis", s=5)
            axis.plot(*curve[0], "o", color="black", ms=4)
            sense = "clockwise" if found.clockwise[row, column] else "counter-clockwise"
            axis.set_title(f"{step:+.1f} s.d.\n{sense}", fontsize=8)
            frame_square(axis, curve)
            axis.set_xticks([])
            axis.set_yticks([])
        words = f"{found.names[row]}\n({100 * found.shares[row]:.0f} % of the variance)"
        axes[row, 0].set_ylabel(words, fontsize=8)
    time = ScalarMappable(Normalize(0, 1), "viridis")
    bar = figure.colorbar(time, ax=axes, shrink=0.7, pad=0.01)
    bar.set_label("time, in windows", fontsize=8)
    figure.suptitle("Curves decoded along straight lines through the latent space")
    save_figure(figure, out, "walk")
