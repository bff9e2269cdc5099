"""Initial value problems: methods as data, adaptive and fixed steps, adjoints.

No neural network in here.
"""

from __future__ import annotations

from .control import PI as PI
from .control import PID as PID
from .control import Controller as Controller
from .control import I as I
from .events import Event as Event
from .events import Events as Events
from .odeint import odeint as odeint
from .solution import Solution as Solution
from .solution import SolveError as SolveError
from .solution import Stats as Stats
from .solve import solve as solve
from .status import Status as Status
from .tableaus import METHODS as METHODS
from .tableaus import Tableau as Tableau
