"""Methods of order one to four."""

from __future__ import annotations

from ._tableau import Tableau

euler = Tableau("euler", 1, lower=(), weights=(1,), source="Euler (1768)")

midpoint = Tableau(
    "midpoint",
    2,
    lower=(("1/2",),),
    weights=(0, 1),
    error=(-1, 1),
    source="Runge (1895), with embedded Euler",
)

heun = Tableau(
    "heun",
    2,
    lower=((1,),),
    weights=("1/2", "1/2"),
    error=("-1/2", "1/2"),
    source="Heun (1900), with embedded Euler",
)

ralston = Tableau(
    "ralston",
    2,
    lower=(("2/3",),),
    weights=("1/4", "3/4"),
    error=("-3/4", "3/4"),
    source="Ralston (1962), with embedded Euler",
)

bosh3 = Tableau(
    "bosh3",
    3,
    lower=(("1/2",), (0, "3/4"), ("2/9", "1/3", "4/9")),
    weights=("2/9", "1/3", "4/9", 0),
    error=("-5/72", "1/12", "1/9", "-1/8"),
    source="Bogacki & Shampine (1989), Appl. Math. Lett. 2:321",
)

ssprk3 = Tableau(
    "ssprk3",
    3,
    lower=((1,), ("1/4", "1/4")),
    weights=("1/6", "1/6", "2/3"),
    error=("-1/3", "-1/3", "2/3"),
    source="Shu & Osher (1988), J. Comput. Phys. 77:439, with embedded Heun",
)

rk4 = Tableau(
    "rk4",
    4,
    lower=(("1/2",), (0, "1/2"), (0, 0, 1)),
    weights=("1/6", "1/3", "1/3", "1/6"),
    source="Kutta (1901)",
)

three_eighths = Tableau(
    "three_eighths",
    4,
    lower=(("1/3",), ("-1/3", 1), (1, -1, 1)),
    weights=("1/8", "3/8", "3/8", "1/8"),
    source="Kutta (1901)",
)
