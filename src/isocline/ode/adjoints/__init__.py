"""Adjoints: how the gradient of a solve is formed.

Each is one function `run(rules, field, params, task) -> Outcome`.
"""

from __future__ import annotations

from .backsolve import backsolve
from .choice import Choice as Choice
from .choice import Wish as Wish
from .choice import choose as choose
from .forward import direct, forward
from .replay import replay
from .reversible import reversible

ADJOINTS = {
    "replay": replay,
    "reversible": reversible,
    "backsolve": backsolve,
    "forward": forward,
    "direct": direct,
}
