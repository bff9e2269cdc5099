"""The settings of a forecast: defaults, then a TOML file, then options, checked in one place."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, TypeVar

from cyclopts import Group, Parameter
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from isocline._version import __version__
from isocline.errors import InputError

from .common import is_there
from .failing import faults_of

_COLUMNS = Group("Columns", sort_key=1)
_TIMES = Group("Times", sort_key=2)
_MODEL = Group("Model", sort_key=3)
_TRAINING = Group("Training", sort_key=4)
Kind = TypeVar("Kind", bound="RunSettings")
Names = Annotated[tuple[str, ...] | None, Parameter(group=_COLUMNS, consume_multiple=True)]
Periods = Annotated[
    tuple[str, ...] | None, Parameter(name="--period", group=_MODEL, consume_multiple=True)
]

# The names of `isocline.nn.ENCODERS`, which is not imported here: `--help` is to be quick.
Encoder = Literal["attention", "cde", "mtan", "ode_rnn", "plain_rnn", "rnn", "tanh_rnn"]


class RunSettings(BaseModel):
    """What a command with a folder of results is told; also the layout of its config.toml."""

    model_config = ConfigDict(extra="forbid", frozen=True, coerce_numbers_to_str=True)
    header: ClassVar[str]

    def toml(self) -> str:
        """The text of config.toml; what is not set is left to be guessed again."""
        import tomli_w

        values = self.model_dump(mode="json", exclude_none=True)
        note = f"{self.header}, Isocline {__version__}; use them again by --config FILE.\n"
        return note + tomli_w.dumps(values)


class ForecastSettings(RunSettings):
    """What `isocline forecast` is told."""

    header: ClassVar[str] = "# Settings of `isocline forecast`"

    data: Annotated[str, Parameter(parse=False)] = "sst"
    time: Annotated[str | None, Parameter(group=_COLUMNS)] = Field(
        default=None, description="Column of the times; guessed if not given."
    )
    series: Annotated[str | None, Parameter(group=_COLUMNS)] = Field(
        default=None, description="Column that names the series; guessed if not given."
    )
    target: Annotated[tuple[str, ...] | None, Parameter(group=_COLUMNS, consume_multiple=True)] = (
        Field(default=None, description="Columns to forecast; guessed if not given.")
    )
    known: Names = Field(
        default=None,
        description="Columns of inputs that are known ahead, such as prices, plans or holidays; "
        "commas between.",
    )
    past: Names = Field(
        default=None,
        description="Columns of readings that help to forecast and are not known ahead.",
    )
    static: Names = Field(
        default=None,
        description="Columns that do not change within a series: numbers or texts.",
    )
    sort: Annotated[bool, Parameter(group=_COLUMNS)] = Field(
        default=False,
        description="Put rows in order of time, instead of refusing those out of order.",
    )
    duplicates: Annotated[Literal["error", "mean", "first", "last"], Parameter(group=_COLUMNS)] = (
        Field(default="error", description="What to make of rows of the same series and time.")
    )
    # A hyphen may lead, so that -5d is refused as a length and not taken for an unknown option.
    horizon: Annotated[str | None, Parameter(group=_TIMES, allow_leading_hyphen=True)] = Field(
        default=None,
        description="How far to forecast: 90d, 36h, 2w, 6M (months), 1y, or a number where times "
        "are numbers. A tenth of the span if neither this nor --at is given.",
    )
    at: Annotated[tuple[str, ...] | None, Parameter(group=_TIMES, consume_multiple=True)] = Field(
        default=None,
        description="Times to forecast: a CSV, TSV or Parquet file, or the times themselves. "
        "A regular grid over the horizon if not given.",
    )
    future: Annotated[str | None, Parameter(group=_TIMES)] = Field(
        default=None,
        description="CSV, TSV or Parquet file with the known inputs after the last observation; "
        "not needed where DATA has rows for them, with empty targets.",
    )
    encoder: Annotated[Encoder, Parameter(group=_MODEL)] = Field(
        default="ode_rnn", description="What reads the past observations."
    )
    members: Annotated[int, Parameter(group=_MODEL)] = Field(
        default=4, ge=1, description="Models in the ensemble."
    )
    hidden_size: Annotated[int, Parameter(group=_MODEL)] = Field(
        default=32, ge=1, description="Width of the networks."
    )
    latent_size: Annotated[int, Parameter(group=_MODEL)] = Field(
        default=4, ge=1, description="Components of the latent state."
    )
    period: Periods = Field(
        default=None,
        description="Periods of the seasons, such as 1y or 7d, or none; found in the data if "
        "not given.",
    )
    calendar: Annotated[tuple[str, ...] | None, Parameter(group=_MODEL, consume_multiple=True)] = (
        Field(
            default=None,
            description="Inputs from the dates: hour, weekday, month, yearday; commas between.",
        )
    )
    interpolation: Annotated[Literal["linear", "hold"], Parameter(group=_MODEL)] = Field(
        default="linear", description="What known inputs do between the times of their rows."
    )
    linear: Annotated[bool, Parameter(group=_MODEL, negative="--no-linear")] = Field(
        default=True,
        description="A linear regression on the past has a share in the forecasts.",
    )
    transform: Annotated[Literal["auto", "none"], Parameter(group=_MODEL)] = Field(
        default="auto",
        description="auto: forecast the logarithm of what grows by factors; none: of nothing.",
    )
    dynamics: Annotated[Literal["ode", "sde"], Parameter(group=_MODEL)] = Field(
        default="ode",
        description="ode: a path follows from its start; sde: it is random too (needs Diffrax).",
    )
    epochs: Annotated[int, Parameter(group=_TRAINING)] = Field(
        default=60, ge=1, description="Train for at most so many epochs."
    )
    patience: Annotated[int, Parameter(group=_TRAINING)] = Field(
        default=15, ge=0, description="Stop after so many epochs without a better validation score."
    )
    learning_rate: Annotated[float, Parameter(group=_TRAINING)] = Field(
        default=3e-3, gt=0, allow_inf_nan=False, description="The highest learning rate."
    )
    kl_weight: Annotated[float, Parameter(group=_TRAINING)] = Field(
        default=0.1,
        ge=0,
        allow_inf_nan=False,
        description="Weight of the KL term at the end of annealing.",
    )
    deletion: Annotated[float, Parameter(group=_TRAINING)] = Field(
        default=0.5,
        ge=0,
        lt=1,
        description="Up to this share of each training context is left out.",
    )
    growth: Annotated[float, Parameter(group=_TRAINING)] = Field(
        default=0.0,
        ge=0,
        le=1,
        description="The horizon grows over this fraction of the training; 0: it is whole.",
    )
    shooting: Annotated[int, Parameter(group=_TRAINING)] = Field(
        default=0,
        ge=0,
        description="Segments of the horizon in multiple shooting; 0: it is solved as one.",
    )
    batch_size: Annotated[int, Parameter(group=_TRAINING)] = Field(
        default=64, ge=1, description="Windows a step."
    )
    seed: Annotated[int, Parameter(group=_TRAINING)] = Field(
        default=0, ge=0, lt=2**31, description="Of everything random."
    )

    @field_validator("target", "at", "period", mode="before")
    @classmethod
    def _listed(cls, value: Any) -> Any:
        """TOML may name one thing without brackets, and times as dates."""
        if value is None:
            return None
        entries = value if isinstance(value, (list, tuple)) else [value]
        return tuple(str(entry) for entry in entries)

    @field_validator("known", "past", "static", "calendar", mode="before")
    @classmethod
    def _parted(cls, value: Any) -> Any:
        """As lists of names; commas part them as well."""
        names = cls._listed(value) or ()
        return tuple(name.strip() for entry in names for name in entry.split(",")) or None

    def columns(self) -> dict[str, Any]:
        """The columns of the table, and how to read it."""
        names = ("time", "series", "target", "known", "past", "static", "sort", "duplicates")
        return {name: getattr(self, name) for name in names}

    def estimator(self) -> dict[str, Any]:
        """The settings that are the estimator's own, by its names."""
        names = (
            "encoder",
            "members",
            "hidden_size",
            "latent_size",
            "epochs",
            "patience",
            "learning_rate",
            "kl_weight",
            "deletion",
            "growth",
            "shooting",
            "dynamics",
            "transform",
            "linear",
            "batch_size",
            "interpolation",
            "seed",
        )
        return {name: getattr(self, name) for name in names} | {"calendar": self.calendar or ()}


def read_settings(path: Path, kind: type[RunSettings] = ForecastSettings) -> dict[str, Any]:
    """The settings in a TOML file, checked; paths in it count from its folder.

    Raises:
        InputError: no such file, no TOML, an unknown name or a value that does not fit.
    """
    try:
        values = tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise InputError(f"There is no settings file {path}. Check the name.") from None
    except OSError as error:
        raise InputError(f"The settings file {path} can not be read: {error.strerror}.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"The settings file {path} is not TOML: {error}.") from None
    from isocline.data.columns import did_you_mean

    for name in values:
        if name not in kind.model_fields:
            raise InputError(
                f"The settings file {path} has the unknown name '{name}'."
                f"{did_you_mean(name, kind.model_fields)}"
            )
    return given(checked(kind, values, f" (in {path})"), path.parent)


def given(settings: RunSettings | None, folder: Path = Path()) -> dict[str, Any]:
    """What was really set, with the paths of files made absolute."""
    if settings is None:
        return {}
    values = settings.model_dump(include=set(settings.model_fields_set))
    if "data" in values:
        values["data"] = _located(values["data"], folder)
    if values.get("future"):
        values["future"] = _located(values["future"], folder)
    if values.get("at"):
        values["at"] = tuple(_located(entry, folder) for entry in values["at"])
    return values


def merged(*layers: dict[str, Any]) -> ForecastSettings:
    """Settings of a forecast from layers, the last one strongest."""
    return checked(ForecastSettings, together(*layers))


def in_files(
    kind: type[RunSettings], *, config: Path | None, kept: Path | None
) -> list[dict[str, Any]]:
    """The settings kept beside a checkpoint, if they are there, and those in a file; see below."""
    layers = [read_settings(kept, kind)] if kept is not None and kept.is_file() else []
    return layers + ([read_settings(config, kind)] if config is not None else [])


def layered(
    kind: type[RunSettings],
    data: str | None,
    settings: RunSettings | None,
    *,
    config: Path | None,
    kept: Path | None,
) -> dict[str, Any]:
    """What a command was told: kept beside a checkpoint, in a file, then by options.

    Args:
        kind: of the settings.
        data: the table that the command line names.
        settings: those of the command line.
        config: a file with settings.
        kept: the file of the run that is resumed, which need not be there.

    Raises:
        InputError: as `read_settings`.
    """
    layers = in_files(kind, config=config, kept=kept)
    named = {} if data is None else {"data": _located(data, Path())}
    return together(*layers, given(settings), named)


def together(*layers: dict[str, Any]) -> dict[str, Any]:
    """Layers as one, the last one strongest."""
    return {name: value for layer in layers for name, value in layer.items()}


def checked(kind: type[Kind], values: dict[str, Any], where: str = "") -> Kind:
    """The settings of a command; InputError says which does not fit, and where it was."""
    try:
        return kind(**values)
    except ValidationError as error:
        raise InputError(faults_of(error, lambda name: f"{name}{where}")) from None


def _located(name: str, folder: Path) -> str:
    """An absolute path if there is such a file from the folder; anything else stays as it is."""
    from isocline.data import names

    there = folder / name
    is_file = name.strip() and name not in names() and is_there(there)
    return str(there.resolve()) if is_file else name
