"""Work-precision figures: the error that is reached over what it costs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..results import save_figure

# Ours in strong colours, the peers' in a scale of their own; one marker a library.
COLOURS = ("#0072B2", "#56B4E9", "#009E73", "#D55E00", "#E69F00", "#CC79A7", "#999999", "#000000")
MARKERS = {"isocline": "o", "diffrax": "s", "torchdiffeq": "^", "torchode": "v", "scipy": "D"}


def work_precision(
    out: Path,
    name: str,
    panels: Sequence[tuple[str, str, list[dict[str, Any]]]],
    labels: dict[str, str],
    columns: int,
) -> None:
    """Draw panels of error (downwards better) over work (leftwards better), and save them.

    Args:
        out: folder.
        name: of the files.
        panels: title, key of the work, and points with `solver`, `error` and that key.
        labels: for each key of work the words of its axis.
        columns: panels in a row.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import LogLocator, NullFormatter

    rows = -(-len(panels) // columns)
    figure = Figure(figsize=(4.2 * columns, 3.4 * rows + 0.6), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False).ravel()
    solvers = list(dict.fromkeys(point["solver"] for _, _, points in panels for point in points))
    for axis, (title, work, points) in zip(grid, panels, strict=False):
        for index, solver in enumerate(solvers):
            _line(axis, solver, index, [p for p in points if p["solver"] == solver], work)
        axis.set(xscale="log", yscale="log", title=title, xlabel=labels[work], ylabel="error")
        axis.grid(alpha=0.3)
        # Labels between the powers of ten would lie upon each other.
        axis.xaxis.set_minor_formatter(NullFormatter())
        axis.xaxis.set_major_locator(LogLocator(numticks=6))
    for axis in grid[len(panels) :]:
        axis.set_axis_off()
    handles, words = grid[0].get_legend_handles_labels()
    figure.legend(
        handles, words, loc="outside lower center", ncols=columns, frameon=False, fontsize=8
    )
    save_figure(figure, out, name)


def _line(axis: Any, solver: str, index: int, points: list[dict[str, Any]], work: str) -> None:
    marker = MARKERS.get(solver.split(maxsplit=1)[0], "x")
    points = [point for point in points if point.get(work)]
    axis.plot(
        [point[work] for point in points],
        [point["error"] for point in points],
        marker=marker,
        ms=4,
        lw=1.3,
        color=COLOURS[index % len(COLOURS)],
        ls="-" if index < len(COLOURS) else "--",
        label=solver,
    )
