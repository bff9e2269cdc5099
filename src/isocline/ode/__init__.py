"""Initial value problems: methods as data, adaptive and fixed steps, adjoints.

No neural network in here.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from .control import PI as PI
from .control import PID as PID
from .control import Controller as Controller
from .control import I as I
from .dense import Interpolant as Interpolant
from .events import Event as Event
from .events import Events as Events
from .inputs import ConstantPath as ConstantPath
from .inputs import HermitePath as HermitePath
from .inputs import LinearPath as LinearPath
from .odeint import odeint as odeint
from .solution import Solution as Solution
from .solution import SolveError as SolveError
from .solution import Stats as Stats
from .solve import solve as solve
from .status import Status as Status
from .tableaus import METHODS as METHODS
from .tableaus import Tableau as Tableau

if TYPE_CHECKING:
    from .tools import Diagnosis as Diagnosis
    from .tools import GradientReport as GradientReport
    from .tools import Profile as Profile
    from .tools import check_gradient as check_gradient
    from .tools import debug_gradient as debug_gradient
    from .tools import profile as profile

_TOOLS = (
    "Diagnosis",
    "GradientReport",
    "Profile",
    "check_gradient",
    "debug_gradient",
    "profile",
)


def __getattr__(name: str) -> Any:
    """The tools load when they are first asked for."""
    if name in _TOOLS:
        return getattr(importlib.import_module("isocline.ode.tools"), name)
    raise AttributeError(f"module 'isocline.ode' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_TOOLS})
