"""What `check_gradient` found, as rows, as advice, and as a table."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

from .tables import seconds, text_table

DIFFERENCES = "differences"
GOOD = 1e-3  # relative error of a gradient that training does not notice
FASTER = 1.3  # less is noise
WRONG = 3e-2  # and one that rounding and tolerances do not explain


@dataclass(frozen=True)
class Row:
    """One way to a gradient.

    Attributes:
        adjoint: its name in `isocline.ode.adjoints.ADJOINTS`, or "differences".
        mode: "reverse", "forward, one direction", "differences" or "none".
        errors: relative error of the derivatives along random directions in y0, args, f (its
            arrays) and ts; for the differences themselves, how uncertain they are.
        nfe: field evaluations of the forward solve, all trajectories together.
        pullbacks: VJPs of the field that the gradient really took.
        seconds: of one gradient in y0, args and f together (median); for the differences, of all.
        note: why there is no gradient.
    """

    adjoint: str
    mode: str
    errors: dict[str, float]
    nfe: int | None
    pullbacks: int | None
    seconds: float | None
    note: str = ""

    @property
    def error(self) -> float:
        """The largest error in y0, args and f; times are right to the tolerance only."""
        found = [error for group, error in self.errors.items() if group != "ts"]
        return max((error if math.isfinite(error) else math.inf for error in found), default=0.0)


class Worst(NamedTuple):
    """Where an adjoint is farthest off."""

    adjoint: str
    group: str
    error: float


@dataclass(frozen=True)
class GradientReport:
    """What `check_gradient` found; `print` it.

    Attributes:
        rows: the finite differences first, then one row an adjoint.
        loss: its value.
        method, steps, dtype: of the forward solve; accepted steps of all trajectories together.
        reference_dtype: what the finite differences were computed in.
        held: whether they are of the very steps of the solve, and not of an as good as exact one.
    """

    rows: list[Row]
    loss: float
    method: str
    steps: int
    dtype: str
    reference_dtype: str
    held: bool = True

    @property
    def adjoints(self) -> list[Row]:
        """The rows of adjoints that gave a gradient."""
        return [row for row in self.rows[1:] if row.mode != "none"]

    @property
    def worst(self) -> Worst:
        """The largest relative error of all adjoints, also in times."""
        found = [
            Worst(row.adjoint, group, error if math.isfinite(error) else math.inf)
            for row in self.adjoints
            for group, error in row.errors.items()
        ]
        return max(found, key=lambda one: one.error)

    @property
    def advice(self) -> str:
        """Whether the gradient is right, and which adjoint to take."""
        reverse = [row for row in self.adjoints if row.mode == "reverse"]
        uncertain = self.rows[0].error
        best = min(reverse, key=lambda row: row.error, default=None)
        if best is None:
            return "No adjoint gave a gradient in reverse mode."
        if not math.isfinite(best.error):
            return "The gradient is not finite: debug_gradient finds where that begins."
        if uncertain > GOOD and best.error > GOOD:
            return (
                f"The finite differences themselves are uncertain by {uncertain:.1g}: f or loss "
                "is not smooth there, or rounds to float32 inside. Errors below that say nothing."
            )
        if best.error > WRONG:
            return (
                "No adjoint agrees with the finite differences. Look in f and loss for "
                "stop_gradient, for a derivative rule of their own, and for rounding to integers."
            )
        return self._recommended(best, reverse)

    def _recommended(self, best: Row, reverse: list[Row]) -> str:
        """The most accurate one, unless another is good enough and clearly faster."""
        # Ten times an error that is rounding is rounding too: of those, the first of the table.
        best = next(row for row in reverse if row.error <= 10 * best.error)
        good = [row for row in reverse if row.error <= GOOD] or [best]
        fastest = min(good, key=lambda row: row.seconds or math.inf)
        ratio = (best.seconds or math.inf) / (fastest.seconds or math.inf)
        advice = f"The gradient is right. Take adjoint={best.adjoint!r}, right to {best.error:.0e}"
        if ratio < FASTER:
            return f"{advice}."
        return f"{advice}, or {fastest.adjoint!r}, {ratio:.1f}x faster and to {fastest.error:.0e}."

    def as_dict(self) -> dict[str, Any]:
        """The report as JSON can hold it (numbers that are not finite are still floats)."""
        return asdict(self) | {"worst": self.worst._asdict(), "advice": self.advice}

    def __str__(self) -> str:
        groups = list(self.rows[0].errors)
        titles = ["relative error of", *groups, "NFE", "VJPs", "time", ""]
        lines = [
            [
                row.adjoint,
                *(f"{row.errors[group]:.1e}" for group in groups),
                "-" if row.nfe is None else str(row.nfe),
                "-" if row.pullbacks is None else str(row.pullbacks),
                seconds(row.seconds),
                row.note or ("" if row.mode in ("reverse", "differences") else row.mode),
            ]
            for row in self.rows[1:]
        ]
        doubt = self.rows[0].errors
        uncertain = ", ".join(f"{doubt[group]:.0e} ({group})" for group in groups)
        steps = "on the same steps" if self.held else "of a solve to a tolerance of 1e-10"
        return "\n".join(
            [
                f"loss {self.loss:.6g}; {self.steps} accepted steps, {self.method}, {self.dtype}",
                text_table(titles, lines),
                f"Reference: finite differences {steps} in {self.reference_dtype}.",
                f"It is uncertain by {uncertain}.",
                self.advice,
            ]
        )
