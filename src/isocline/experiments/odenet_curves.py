"""What a trained ODE-Net does at other tolerances, and what its solves cost while it learns."""

from __future__ import annotations

import copy
from functools import partial
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from isocline.data import load_images
from isocline.estimators import ODENetClassifier
from isocline.estimators.storing import in_precision
from isocline.models.ode_net import SPAN
from isocline.ode import solve

from .bench.timing import interleaved
from .results import save_figure

TOLERANCES = tuple(10.0**-n for n in range(1, 9))
SINGLE = 1e-6  # below that float32 can not tell, and answers are computed in float64
EXACT = 1e-11
SOLVED, REPEATS = 100, 3
TIMED = {False: 500, True: 100}  # images, of the whole version and of the quick one


def tolerance_curve(out: Path, data: str, run: dict[str, Any], quick: bool) -> list[dict[str, Any]]:
    """Test error, evaluations, numerical error and seconds of one model at each tolerance.

    Error and seconds are of float32, as users have it, down to a tolerance of 1e-6, and of float64
    below; the numerical error (of the block's output, relative to its size) and NFE at each
    tolerance are of float64, on the first test images.
    """
    model = ODENetClassifier.load(out / "models" / run["name"])
    images = load_images(data)
    exact = _solved(model, images.test_images[:SOLVED])
    rows, calls = [], {}
    some = images.test_images[: TIMED[quick]]
    for tolerance in TOLERANCES:
        nfe, error = exact(tolerance)
        double = tolerance < SINGLE
        predict = partial(_predicted, model.with_tolerance(tolerance), double)
        wrong = np.mean(predict(images.test_images) != images.test_labels)
        row = {"tolerance": tolerance, "nfe": nfe, "numerical_error": error}
        rows.append(row | {"error": float(wrong), "precision": "double" if double else "single"})
        calls[tolerance] = partial(predict, some)
    timings = interleaved(calls, REPEATS)
    for row in rows:
        row["seconds"] = timings[row["tolerance"]].median * 1000 / len(some)
    _draw(out, rows)
    return rows


def _predicted(model: ODENetClassifier, double: bool, images: np.ndarray) -> np.ndarray:
    if not double:
        return model.predict(images)
    changed = copy.copy(model)
    with jax.enable_x64(True):
        changed.network_ = in_precision(model.network_, double=True)
        return changed.predict(images)


def _solved(model: ODENetClassifier, images: np.ndarray) -> Any:
    """A function from a tolerance to NFE and numerical error, in float64."""
    with jax.enable_x64(True):
        network = in_precision(model.network_, double=True)
        scaled = jnp.asarray((images / 255 - model.scale_.mean) / model.scale_.spread)
        y0 = network.block.start(network.stem(scaled))

    ends = block_flow(model.method)
    with jax.enable_x64(True):
        exact, _ = ends(network.block.field, y0, jnp.array(SPAN), jnp.asarray(EXACT))

    def at(tolerance: float) -> tuple[float, float]:
        with jax.enable_x64(True):
            found, nfe = ends(network.block.field, y0, jnp.array(SPAN), jnp.asarray(tolerance))
            error = jnp.linalg.norm(found - exact) / jnp.linalg.norm(exact)
            return float(nfe), float(error)

    return at


def block_flow(method: str) -> Any:
    """A function of field, state, span and tolerance: the state at the other end, and NFE."""

    @eqx.filter_jit
    def ends(field: Any, y: Any, span: Any, tolerance: Any) -> tuple[Any, Any]:
        options = {"method": method, "rtol": tolerance, "atol": tolerance}
        found = solve(field, y, span, on_failure="return", **options)
        return found.ys[-1], found.stats.nfe

    return ends


def _draw(out: Path, rows: list[dict[str, Any]]) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10.5, 3.4), layout="constrained")
    left, middle, right = figure.subplots(1, 3)
    tolerances = [row["tolerance"] for row in rows]
    left.loglog(tolerances, [row["numerical_error"] for row in rows], "o-", color="#0072B2")
    left.loglog(tolerances, tolerances, "--", color="#999999", label="the tolerance itself")
    left.set(xlabel="tolerance", ylabel="numerical error of the block")
    left.legend(frameon=False)
    _draw_costs(middle, rows)
    right.semilogx(
        tolerances,
        [100 * row["error"] for row in rows],
        "o-",
        color="#D55E00",
    )
    right.set(xlabel="tolerance", ylabel="test error, %")
    _from_zero(right)
    for axis in (left, right):
        axis.invert_xaxis()
    figure.suptitle("One trained ODE-Net at eight tolerances: accuracy for run time")
    save_figure(figure, out, "tolerances")


def _draw_costs(axis: Any, rows: list[dict[str, Any]]) -> None:
    """Time against evaluations; double precision costs more, and is a line of its own."""
    for precision, marks, face in (("single", "o-", "#0072B2"), ("double", "o--", "white")):
        own = [row for row in rows if row["precision"] == precision]
        axis.plot(
            [row["nfe"] for row in own],
            [1e3 * row["seconds"] for row in own],
            marks,
            color="#0072B2",
            markerfacecolor=face,
            label=f"{precision} precision",
        )
    axis.legend(frameon=False, loc="lower right")
    # Of tolerances with equally many evaluations, the tightest has its name there; in turns below
    # and above, where neighbours do not touch.
    for index, row in enumerate({row["nfe"]: row for row in rows}.values()):
        place, beside = (row["nfe"], 1e3 * row["seconds"]), ((3, -12), (-24, 7))[index % 2]
        axis.annotate(
            f"{row['tolerance']:.0e}", place, beside, textcoords="offset points", fontsize=8
        )
    axis.set_yscale("log")
    axis.set(xlabel="NFE", ylabel="ms for 1,000 images")
    axis.margins(0.22)


def draw_training(out: Path, runs: dict[str, list[dict[str, Any]]]) -> None:
    """Validation error of every model, and NFE of the ODE-Nets, epoch by epoch (first seeds)."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10.5, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    for model, done in runs.items():
        history = done[0]["history"]
        epochs = [row["epoch"] for row in history]
        errors = [100 * row["validation_error"] for row in history]
        (line,) = left.plot(epochs, errors, label=model)
        if done[0]["nfe"] and done[0]["settings"]["network"] == "ode":
            nfe = [row["validation_nfe"] for row in history]
            right.plot(epochs, nfe, color=line.get_color(), label=model)
    # No error at all has no place on a logarithmic axis: a gap.
    left.set_yscale("log", nonpositive="mask")
    left.set(xlabel="epoch", ylabel="validation error, %")
    right.set(xlabel="epoch", ylabel="NFE of a prediction (tolerance 1e-3)")
    _from_zero(right)
    figure.legend(
        *left.get_legend_handles_labels(), frameon=False, fontsize=8, loc="outside right center"
    )
    save_figure(figure, out, "training")


def _from_zero(*axes: Any) -> None:
    """Zero at the bottom, and room above what is highest."""
    for axis in axes:
        axis.set_ylim(0, 1.1 * axis.dataLim.ymax)
