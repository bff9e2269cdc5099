"""The methods, one row each. To add one, write its `Tableau` and name it here."""

from __future__ import annotations

from ...errors import InputError
from ._low_order import bosh3, euler, heun, midpoint, ralston, rk4
from ._order_eight import dopri8
from ._method import Method as Method
from ._order_five import dopri5, tsit5
from ._rosenbrock import Rosenbrock as Rosenbrock
from ._stiff import rodas4, rodas5p, ros34pw2, rosenbrock23
from ._tableau import Tableau as Tableau

_EXPLICIT = (euler, midpoint, heun, ralston, bosh3, rk4, dopri5, tsit5, dopri8)
_STIFF = (rosenbrock23, ros34pw2, rodas4, rodas5p)
METHODS: dict[str, Tableau | Rosenbrock] = {method.name: method for method in _EXPLICIT + _STIFF}


def find(method: str | Tableau | Rosenbrock) -> Tableau | Rosenbrock:
    """The method of a name, or the method itself; InputError lists the names there are."""
    if isinstance(method, (Tableau, Rosenbrock)):
        return method
    if not isinstance(method, str) or method not in METHODS:
        raise InputError(f"method={method!r} is not known; choose one of: {', '.join(METHODS)}.")
    return METHODS[method]
