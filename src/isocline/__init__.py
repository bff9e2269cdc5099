"""Neural ordinary differential equations on JAX.

Names load when they are first used, so `import isocline` is light and does not import JAX.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from isocline._version import __version__

if TYPE_CHECKING:
    from isocline import (
        data,
        errors,
        estimators,
        evaluation,
        experiments,
        models,
        nn,
        ode,
        report,
        train,
    )
    from isocline.errors import InputError, IsoclineError
    from isocline.estimators import (
        ContinuousFlow,
        EventIntensity,
        LatentODEForecaster,
        NormalizingFlow,
        ODENetClassifier,
    )
    from isocline.ode import Event, Solution, SolveError, Stats, Status, odeint, solve

_NAMES = {
    "ContinuousFlow": "isocline.estimators",
    "Event": "isocline.ode",
    "EventIntensity": "isocline.estimators",
    "InputError": "isocline.errors",
    "IsoclineError": "isocline.errors",
    "LatentODEForecaster": "isocline.estimators",
    "NormalizingFlow": "isocline.estimators",
    "ODENetClassifier": "isocline.estimators",
    "Solution": "isocline.ode",
    "SolveError": "isocline.ode",
    "Stats": "isocline.ode",
    "Status": "isocline.ode",
    "odeint": "isocline.ode",
    "solve": "isocline.ode",
}
_MODULES = (
    "data",
    "errors",
    "estimators",
    "evaluation",
    "experiments",
    "models",
    "nn",
    "ode",
    "report",
    "train",
)

__all__ = [
    "ContinuousFlow",
    "Event",
    "EventIntensity",
    "InputError",
    "IsoclineError",
    "LatentODEForecaster",
    "NormalizingFlow",
    "ODENetClassifier",
    "Solution",
    "SolveError",
    "Stats",
    "Status",
    "__version__",
    "data",
    "errors",
    "estimators",
    "evaluation",
    "experiments",
    "models",
    "nn",
    "ode",
    "odeint",
    "report",
    "solve",
    "train",
]


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return importlib.import_module(f"isocline.{name}")
    if name in _NAMES:
        found = getattr(importlib.import_module(_NAMES[name]), name)
        globals()[name] = found  # so that the next use does not come here
        return found
    raise AttributeError(f"module 'isocline' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
