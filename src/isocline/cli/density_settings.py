"""The settings of `isocline density`."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from cyclopts import Group, Parameter
from pydantic import Field, field_validator

from isocline.errors import InputError

from .settings import RunSettings

_COLUMNS = Group("Columns", sort_key=1)
_MODEL = Group("Model", sort_key=2)
_TRAINING = Group("Training", sort_key=3)
_Weight = Annotated[float, Parameter(group=_TRAINING)]
_Words = Annotated[tuple[str, ...] | None, Parameter(group=_COLUMNS, consume_multiple=True)]


class DensitySettings(RunSettings):
    """What `isocline density` is told."""

    header: ClassVar[str] = "# Settings of `isocline density`"

    data: Annotated[str, Parameter(parse=False)] = ""
    columns: _Words = Field(
        default=None, description="Columns to learn the density of; all if not given."
    )
    context: _Words = Field(
        default=None, description="Columns that the density depends on: numbers or words."
    )
    bounds: _Words = Field(
        default=None,
        description="Bounds of columns, which are transformed: share=0:1, wait=0: or debt=:0.",
    )
    dequantize: _Words = Field(
        default=None, description="Columns of rounded values, to spread over their rounding."
    )
    accept: Annotated[bool, Parameter(group=_COLUMNS)] = Field(
        default=False, description="Learn from columns that seem rounded or bounded as they are."
    )
    field: Annotated[Literal["gated", "hyper", "potential"], Parameter(group=_MODEL)] = Field(
        default="gated", description="The vector field."
    )
    hidden_size: Annotated[int, Parameter(group=_MODEL)] = Field(
        default=64, ge=1, description="Units of the field."
    )
    tolerance: Annotated[float, Parameter(group=_MODEL)] = Field(
        default=1e-5, gt=0, allow_inf_nan=False, description="Of the solves that answer."
    )
    samples: Annotated[int, Parameter(group=_MODEL)] = Field(
        default=1000, ge=1, description="Rows to draw (with context: with those of the data)."
    )
    test: Annotated[float, Parameter(group=_TRAINING)] = Field(
        default=0.1, gt=0, lt=1, description="Share of the rows that only the scores are for."
    )
    matching: Annotated[int, Parameter(group=_TRAINING)] = Field(
        default=40, ge=0, description="Epochs of flow matching."
    )
    likelihood: Annotated[int, Parameter(group=_TRAINING)] = Field(
        default=8, ge=0, description="Epochs of maximum likelihood after it."
    )
    coupling: Annotated[bool, Parameter(group=_TRAINING)] = Field(
        default=False,
        description="Pair noise and rows by optimal transport in flow matching: straighter ways, "
        "half the evaluations, a little likelihood.",
    )
    energy: _Weight = Field(
        default=0.0, ge=0, allow_inf_nan=False, description="Weight of RNODE's kinetic energy."
    )
    jacobian: _Weight = Field(
        default=0.0, ge=0, allow_inf_nan=False, description="Weight of RNODE's Jacobian norm."
    )
    hamilton_jacobi: _Weight = Field(
        default=0.0,
        ge=0,
        allow_inf_nan=False,
        description="Weight of OT-Flow's residual, of --field potential.",
    )
    optimizer: Annotated[Literal["muon", "adamw"], Parameter(group=_TRAINING)] = Field(
        default="muon", description="What takes the steps."
    )
    patience: Annotated[int, Parameter(group=_TRAINING)] = Field(
        default=15, ge=0, description="Stop after so many epochs without a better validation."
    )
    batch_size: Annotated[int, Parameter(group=_TRAINING)] = Field(
        default=256, ge=1, description="Rows a step."
    )
    learning_rate: Annotated[float, Parameter(group=_TRAINING)] = Field(
        default=1e-2, gt=0, allow_inf_nan=False, description="The highest learning rate."
    )
    seed: Annotated[int, Parameter(group=_TRAINING)] = Field(
        default=0, ge=0, lt=2**31, description="Of everything random."
    )

    @field_validator("columns", "context", "bounds", "dequantize", mode="before")
    @classmethod
    def _listed(cls, value: Any) -> Any:
        """TOML may name one thing without brackets, and the command line with commas."""
        if value is None:
            return None
        entries = value if isinstance(value, (list, tuple)) else [value]
        return tuple(part for entry in entries for part in str(entry).split(",") if part)

    def estimator(self) -> dict[str, Any]:
        """The settings that are the estimator's own, by its names."""
        names = (
            "field", "hidden_size", "tolerance", "matching", "likelihood", "coupling", "energy",
            "jacobian", "hamilton_jacobi", "optimizer", "patience", "batch_size", "learning_rate",
            "seed", "accept",
        )  # fmt: skip
        bounds = dict(map(read_bound, self.bounds or ()))
        given = {name: getattr(self, name) for name in names}
        return given | {"bounds": bounds or None, "dequantize": self.dequantize or ()}


def read_bound(text: str) -> tuple[str, tuple[float | None, float | None]]:
    """A column and its bounds, of `share=0:1`.

    Raises:
        InputError: it is none.
    """
    name, equals, ends = text.rpartition("=")
    low, colon, high = ends.partition(":")
    try:
        pair = tuple(float(end) if end.strip() else None for end in (low, high))
    except ValueError:
        pair = (None, None)
    if not (name and equals and colon) or pair == (None, None):
        raise InputError(
            f"--bounds {text}: write a column and its bounds as share=0:1, wait=0: (no upper one) "
            f"or debt=:0."
        )
    return name, (pair[0], pair[1])
