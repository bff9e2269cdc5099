"""The methods, one row each. To add one, write its `Tableau` and name it here."""

from __future__ import annotations

from ...errors import InputError
from ._by_diffrax import DIFFRAX_METHODS as DIFFRAX_METHODS
from ._by_diffrax import ByDiffrax as ByDiffrax
from ._low_order import bosh3, euler, heun, midpoint, ralston, rk4
from ._method import Method as Method
from ._order_eight import dopri8
from ._order_five import dopri5, tsit5
from ._rosenbrock import Rosenbrock as Rosenbrock
from ._stiff import rodas4, rodas5p, ros34pw2, rosenbrock23
from ._switching import Switching as Switching
from ._tableau import Tableau as Tableau

Known = Tableau | Rosenbrock | Switching | ByDiffrax

_EXPLICIT = (euler, midpoint, heun, ralston, bosh3, rk4, dopri5, tsit5, dopri8)
_STIFF = (rosenbrock23, ros34pw2, rodas4, rodas5p)
METHODS: dict[str, Tableau | Rosenbrock | Switching] = {
    method.name: method for method in _EXPLICIT + _STIFF
}
METHODS["auto"] = Switching(tsit5, rodas5p)


def find(method: str | Known) -> Known:
    """The method of a name or of two ("tsit5+rodas5p"), or the method itself.

    Raises:
        InputError: there is no such method; the message lists those there are.
    """
    if isinstance(method, Known):
        return method
    if isinstance(method, str) and method in METHODS:
        return METHODS[method]
    if isinstance(method, str) and method in DIFFRAX_METHODS:
        return DIFFRAX_METHODS[method]
    parts = method.split("+") if isinstance(method, str) else []
    pair = [METHODS.get(part) for part in parts]
    if len(pair) == 2 and isinstance(pair[0], Tableau) and isinstance(pair[1], Rosenbrock):
        try:
            return Switching(pair[0], pair[1])
        except ValueError as error:
            raise InputError(f"method={method!r}: {error}") from error
    raise InputError(
        f"method={method!r} is not known; choose one of: {', '.join(METHODS)}; an explicit and "
        "a stiff one to switch between, as in 'tsit5+rodas5p'; or one of Diffrax's: "
        f"{', '.join(DIFFRAX_METHODS)}."
    )
