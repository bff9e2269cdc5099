"""The settings of `isocline events`."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Any, ClassVar

from cyclopts import Group, Parameter
from pydantic import Field, field_validator

from .settings import Encoder, RunSettings

_COLUMNS = Group("Columns", sort_key=1)
_SEQUENCES = Group("Sequences", sort_key=2)
_MODEL = Group("Model", sort_key=3)
_TRAINING = Group("Training", sort_key=4)
# A hyphen may lead: numbers may be negative, and -5d is refused as a length.
_Moment = Annotated[str | None, Parameter(group=_SEQUENCES, allow_leading_hyphen=True)]


class EventsSettings(RunSettings):
    """What `isocline events` is told."""

    header: ClassVar[str] = "# Settings of `isocline events`"

    data: Annotated[str, Parameter(parse=False)] = ""
    time: Annotated[str | None, Parameter(group=_COLUMNS)] = Field(
        default=None, description="Column of the times; guessed if not given."
    )
    series: Annotated[str | None, Parameter(group=_COLUMNS)] = Field(
        default=None,
        description="Column that tells series apart; one whose only row has no time had no event.",
    )
    end: Annotated[float | None, Parameter(group=_SEQUENCES)] = Field(
        default=None,
        gt=0,
        allow_inf_nan=False,
        description="How long each series was watched, from time 0, where times are numbers.",
    )
    every: _Moment = Field(
        default=None,
        description="Cut the record (of each series) in periods so long: 1d, 12h, 7d, or a number "
        "where times are numbers. Times with an offset (CSV) are cut as clocks in UTC show them.",
    )
    start: _Moment = Field(
        default=None,
        description="When the first period begins; if not given, that of the first event begins at "
        "a multiple of the length from midnight (numbers: from 0), and counts as watched whole.",
    )
    stop: _Moment = Field(
        default=None,
        description="Until when the record goes; until its last event if not given.",
    )
    encoder: Annotated[Encoder, Parameter(group=_MODEL)] = Field(
        default="attention", description="What reads the events of a sequence."
    )
    hidden_size: Annotated[int, Parameter(group=_MODEL)] = Field(
        default=32, ge=1, description="Width of the networks."
    )
    latent_size: Annotated[int, Parameter(group=_MODEL)] = Field(
        default=4, ge=1, description="Components of the latent state."
    )
    test: Annotated[float, Parameter(group=_TRAINING)] = Field(
        default=0.2, gt=0, lt=1, description="Share of the sequences that only the scores are for."
    )
    validation: Annotated[float, Parameter(group=_TRAINING)] = Field(
        default=0.2, gt=0, lt=1, description="Share of the others that the epoch is chosen by."
    )
    epochs: Annotated[int, Parameter(group=_TRAINING)] = Field(
        default=60, ge=1, description="Epochs of training."
    )
    batch_size: Annotated[int, Parameter(group=_TRAINING)] = Field(
        default=32, ge=1, description="Sequences a step."
    )
    learning_rate: Annotated[float, Parameter(group=_TRAINING)] = Field(
        default=5e-3, gt=0, allow_inf_nan=False, description="The highest learning rate."
    )
    kl_weight: Annotated[float, Parameter(group=_TRAINING)] = Field(
        default=1.0, ge=0, allow_inf_nan=False, description="Weight of the KL term of the bound."
    )
    seed: Annotated[int, Parameter(group=_TRAINING)] = Field(
        default=0, ge=0, lt=2**31, description="Of everything random."
    )

    @field_validator("start", "stop", mode="before")
    @classmethod
    def _as_text(cls, value: Any) -> Any:
        """TOML has dates of its own."""
        return value.isoformat() if isinstance(value, date) else value

    def estimator(self) -> dict[str, Any]:
        """The settings that are the estimator's own, by its names."""
        names = (
            "encoder", "latent_size", "hidden_size", "epochs", "batch_size", "learning_rate",
            "kl_weight", "validation", "seed",
        )  # fmt: skip
        return {name: getattr(self, name) for name in names}
