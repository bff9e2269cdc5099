"""The methods, one row each. To add one, write its `Tableau` and name it here."""

from __future__ import annotations

from ...errors import InputError
from ._by_diffrax import DIFFRAX_METHODS as DIFFRAX_METHODS
from ._by_diffrax import ByDiffrax as ByDiffrax
from ._low_order import bosh3, euler, heun, midpoint, ralston, rk4, ssprk3, three_eighths
from ._low_storage import ck54, rdpk3sp35
from ._method import Method as Method
from ._order_eight import dopri8
from ._order_five import bosh5, cash_karp, dopri5, fehlberg, tsit5
from ._order_seven import vern7
from ._partitioned import Partitioned as Partitioned
from ._partitioned import blanes_moan4, blanes_moan6, leapfrog, yoshida4
from ._reversible import Reversible as Reversible
from ._reversible import reversible as reversible
from ._rosenbrock import Rosenbrock as Rosenbrock
from ._stiff import rodas4, rodas5p, ros34pw2, rosenbrock23
from ._switching import Switching as Switching
from ._tableau import Tableau as Tableau

Known = Tableau | Rosenbrock | Switching | ByDiffrax

METHODS: dict[str, Tableau | Rosenbrock | Switching] = {
    method.name: method
    for method in (
        *(euler, midpoint, heun, ralston, bosh3, ssprk3, rdpk3sp35, rk4, three_eighths, ck54),
        *(fehlberg, cash_karp, dopri5, tsit5, bosh5, vern7, dopri8),
        *(rosenbrock23, ros34pw2, rodas4, rodas5p),
        *(leapfrog, yoshida4, blanes_moan4, blanes_moan6),
    )
}
METHODS["auto"] = Switching(tsit5, rodas5p)


def find(method: str | Known) -> Known:
    """The method of a name or of two ("tsit5+rodas5p"), or the method itself.

    Raises:
        InputError: there is no such method; the message lists those there are.
    """
    if isinstance(method, Known):
        fault = method.fault if type(method) is Tableau else None
        if fault is not None:
            raise InputError(f"method={method.name!r} is no Runge-Kutta method: {fault}")
        return method
    found = _named(method) if isinstance(method, str) else None
    if found is not None:
        return found
    raise InputError(
        f"method={method!r} is not known; choose one of: {', '.join(METHODS)}; an explicit and "
        "a stiff one to switch between, as in 'tsit5+rodas5p'; or one of Diffrax's: "
        f"{', '.join(DIFFRAX_METHODS)}."
    )


def _named(name: str) -> Known | None:
    """The method of this name, or of the two in it."""
    if name in METHODS or name in DIFFRAX_METHODS:
        return METHODS.get(name) or DIFFRAX_METHODS[name]
    pair = [METHODS.get(part) for part in name.split("+")]
    if len(pair) != 2 or not isinstance(pair[0], Tableau) or not isinstance(pair[1], Rosenbrock):
        return None
    try:
        return Switching(pair[0], pair[1])
    except ValueError as error:
        raise InputError(f"method={name!r}: {error}") from error
