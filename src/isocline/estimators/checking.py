"""The settings of an estimator, checked before training; messages begin with the setting."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from numbers import Integral, Real
from typing import Any

from isocline.errors import InputError
from isocline.models.latent_sde import require_diffrax
from isocline.models.ode_net import STEMS
from isocline.nn import ENCODERS, FIELDS, TRACES
from isocline.ode.tableaus import find
from isocline.train import OPTIMIZERS

from .calendar import CALENDAR
from .covariates import INTERPOLATIONS


def check_settings(settings: dict[str, Any]) -> None:
    """InputError for the first setting of a forecaster that does not fit."""
    _check(settings, _RULES)
    if settings["dynamics"] == "sde":
        if settings["shooting"]:
            raise InputError(
                f"shooting={settings['shooting']!r} cuts the paths of an ODE: choose shooting=0, "
                "or dynamics='ode'."
            )
        require_diffrax()


def check_classifier(settings: dict[str, Any]) -> None:
    """InputError for the first setting of a classifier that does not fit."""
    _check(settings, _CLASSIFIER)
    if settings["learning"] is not None:
        find(settings["learning"][0])
    elif settings["adjoint"] == "direct":
        raise InputError(
            "adjoint='direct' differentiates through every step, so their number must be given: "
            "choose learning=('rk4', 1) or the like, or another adjoint."
        )
    _require_adaptive(settings["method"])


def check_continuous_flow(settings: dict[str, Any]) -> None:
    """InputError for the first setting of a continuous flow that does not fit."""
    _check(settings, _DENSITY | _CONTINUOUS_FLOW)
    _require_adaptive(settings["method"])
    if not settings["matching"] and not settings["likelihood"]:
        raise InputError("matching=0 and likelihood=0: there is no epoch to learn in.")
    if settings["hamilton_jacobi"] and settings["field"] != "potential":
        raise InputError("hamilton_jacobi is a residual of a potential: choose field='potential'.")
    weighted = [name for name in _REGULARIZERS if settings[name]]
    if weighted and not settings["likelihood"]:
        raise InputError(
            f"{weighted[0]}={settings[weighted[0]]:g} is a weight in maximum likelihood, of which "
            f"likelihood=0 takes no epoch: raise likelihood, or leave {weighted[0]} out. Flow "
            f"matching learns straighter ways by coupling=True."
        )


def check_event_intensity(settings: dict[str, Any]) -> None:
    """InputError for the first setting of a model of events that does not fit."""
    _check(settings, {name: _EVENTS[name] for name in settings})


def check_normalizing_flow(settings: dict[str, Any]) -> None:
    """InputError for the first setting of a discrete flow that does not fit."""
    _check(settings, _DENSITY | dict.fromkeys(("layers", "epochs"), _COUNT))


def _require_adaptive(method: Any) -> None:
    if not find(method).adaptive:
        raise InputError(
            f"method={method!r} can not adapt its steps to a tolerance: choose another."
        )


def _check(settings: dict[str, Any], rules: dict[str, Any]) -> None:
    for name, (fits, wanted) in rules.items():
        if not fits(settings[name]):
            raise InputError(f"{name}={settings[name]!r} must be {wanted}.")


def check_deletions(fractions: Iterable[Any], repeats: Any) -> None:
    """InputError for shares of observations that can not be deleted, or too few repeats."""
    for fraction in fractions:
        if not (_is_number(fraction) and 0 <= fraction < 1):
            raise InputError(f"fractions={fraction!r} must be at least 0 and less than 1 each.")
    if not (is_whole(repeats) and repeats >= 1):
        raise InputError(f"repeats={repeats!r} must be a whole number of at least 1.")


def _is_number(value: Any) -> bool:
    return isinstance(value, Real) and math.isfinite(value)


def is_whole(value: Any) -> bool:
    """Whether it is a whole number, which True and False are not."""
    return isinstance(value, Integral) and not isinstance(value, bool)


def is_positive(value: Any) -> bool:
    """Whether it is a positive number, and finite."""
    return _is_number(value) and value > 0


def _are_periods(value: Any) -> bool:
    if value is None:
        return True
    return (
        isinstance(value, Iterable) and not isinstance(value, str) and all(map(is_positive, value))
    )


def _are_of_the_calendar(value: Any) -> bool:
    if isinstance(value, str) or not isinstance(value, Sequence):
        return False
    names = list(value)
    return all(isinstance(name, str) and name in CALENDAR for name in names) and len(
        set(names)
    ) == len(names)


def _are_steps(value: Any) -> bool:
    """Whether it is a method and how many steps of it."""
    if value is None:
        return True
    if isinstance(value, str) or not isinstance(value, Sequence) or len(value) != 2:
        return False
    method, steps = value
    return isinstance(method, str) and _COUNT[0](steps)


# Beyond that JAX takes it modulo 2**32 in silence.
_SEED = (
    lambda value: is_whole(value) and 0 <= value < 2**31,
    "a whole number from 0 to 2**31 - 1",
)
_FLAG = (lambda value: isinstance(value, bool), "True or False")
_COUNT_OR_ZERO = (lambda value: is_whole(value) and value >= 0), "a whole number of at least 0"
_COUNT = (lambda value: is_whole(value) and value >= 1), "a whole number of at least 1"
_RULES: dict[str, tuple[Callable[[Any], bool], str]] = {
    "horizon": (
        lambda value: value is None or is_positive(value),
        "a positive number, in units of the time axis (days for dates)",
    ),
    "encoder": (
        lambda value: isinstance(value, str) and value in ENCODERS,
        f"one of: {', '.join(ENCODERS)}",
    ),
    "periods": (
        _are_periods,
        "a list of positive numbers, in units of the time axis (days for dates)",
    ),
    **dict.fromkeys(("latent_size", "hidden_size", "members", "epochs", "batch_size"), _COUNT),
    "patience": (
        lambda value: value is None or (is_whole(value) and value >= 0),
        "a whole number of at least 0, or None",
    ),
    "learning_rate": (is_positive, "a positive number"),
    "kl_weight": (lambda value: _is_number(value) and value >= 0, "a number of at least 0"),
    **dict.fromkeys(
        ("deletion", "average"),
        (lambda value: _is_number(value) and 0 <= value < 1, "at least 0 and less than 1"),
    ),
    "growth": (lambda value: _is_number(value) and 0 <= value <= 1, "a fraction from 0 to 1"),
    "shooting": _COUNT_OR_ZERO,
    "dynamics": (lambda value: value in ("ode", "sde"), "one of: ode, sde"),
    "calendar": (_are_of_the_calendar, f"a list of some of: {', '.join(CALENDAR)}"),
    "interpolation": (
        lambda value: isinstance(value, str) and value in INTERPOLATIONS,
        f"one of: {', '.join(INTERPOLATIONS)}",
    ),
    "anchored": _FLAG,
    "linear": _FLAG,
    "transform": (lambda value: value in ("auto", "none"), "one of: auto, none"),
    "seed": _SEED,
}
_CLASSIFIER: dict[str, tuple[Callable[[Any], bool], str]] = {
    "network": (lambda value: value in ("ode", "resnet", "mlp"), "one of: ode, resnet, mlp"),
    "stem": (lambda value: value in tuple(STEMS), f"one of: {', '.join(STEMS)}"),
    "adjoint": (
        lambda value: value in ("replay", "reversible", "backsolve", "direct"),
        "one of: replay, reversible, backsolve, direct",
    ),
    **dict.fromkeys(("channels", "epochs", "batch_size"), _COUNT),
    **dict.fromkeys(("augment", "blocks"), _COUNT_OR_ZERO),
    "learning": (_are_steps, "a method and a number of steps, as ('rk4', 1), or None"),
    **dict.fromkeys(("tolerance", "learning_rate"), (is_positive, "a positive number")),
    **dict.fromkeys(
        ("energy", "weight_decay", "distortion"),
        (lambda value: _is_number(value) and value >= 0, "a number of at least 0"),
    ),
    **dict.fromkeys(
        ("average", "smoothing"),
        (lambda value: _is_number(value) and 0 <= value < 1, "at least 0 and less than 1"),
    ),
    "flip": _FLAG,
    "validation": (
        lambda value: _is_number(value) and 0 < value < 1,
        "more than 0 and less than 1",
    ),
    "seed": _SEED,
}
_REGULARIZERS = ("energy", "jacobian", "hamilton_jacobi")
_DENSITY: dict[str, tuple[Callable[[Any], bool], str]] = {
    "bounds": (
        lambda value: value is None or isinstance(value, Mapping),
        "a dict from columns to their bounds, as {'share': (0, 1)}, or None",
    ),
    "dequantize": (
        lambda value: isinstance(value, Sequence) and not isinstance(value, str),
        "a list of columns",
    ),
    "accept": _CLASSIFIER["flip"],
    "batch_size": _COUNT,
    "average": _CLASSIFIER["average"],
    "learning_rate": _RULES["learning_rate"],
    "optimizer": (lambda value: value in OPTIMIZERS, f"one of: {', '.join(OPTIMIZERS)}"),
    "patience": _RULES["patience"],
    "validation": _CLASSIFIER["validation"],
    "seed": _SEED,
}
_CONTINUOUS_FLOW: dict[str, tuple[Callable[[Any], bool], str]] = {
    "field": (lambda value: value in FIELDS, f"one of: {', '.join(FIELDS)}"),
    "trace": (lambda value: value in TRACES, f"one of: {', '.join(TRACES)}"),
    "hidden_size": _COUNT,
    **dict.fromkeys(("matching", "likelihood"), _COUNT_OR_ZERO),
    "coupling": _CLASSIFIER["flip"],
    **dict.fromkeys(_REGULARIZERS, _CLASSIFIER["energy"]),
    **dict.fromkeys(("tolerance", "learning"), (is_positive, "a positive number")),
}
_EVENTS = _RULES | {"validation": _CLASSIFIER["validation"]}
