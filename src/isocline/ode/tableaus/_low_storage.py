"""Methods for few registers of memory, as codes for partial differential equations use them.

What is kept of them here is their stability and error control: this library holds all stages of a
step, for dense output and for the replay adjoint. The published recurrences are the data, and are
written out as Butcher tableaus in exact fractions.
"""

from __future__ import annotations

import itertools
from fractions import Fraction
from operator import mul

from ._tableau import Row, Tableau, exact

# A linear combination of the state at the start of the step and of the slopes.
Register = tuple[Fraction, ...]


def _sum(*terms: tuple[Fraction, Register]) -> Register:
    """The linear combination of registers."""
    columns = itertools.zip_longest(*(register for _, register in terms), fillvalue=Fraction(0))
    factors = [factor for factor, _ in terms]
    return tuple(sum(map(mul, factors, column), Fraction(0)) for column in columns)


def _slope(index: int) -> Register:
    """h times the slope of a stage."""
    return (*[Fraction(0)] * (index + 1), Fraction(1))


def two_registers(a: Row, b: Row) -> tuple[Register, ...]:
    """Butcher rows of Williamson's 2N form: `d = a_i d + h f(u)`, `u = u + b_i d`.

    Args:
        a: what is kept of the increment d, from the second stage on.
        b: the share of the increment that is added, for each stage.

    Returns:
        The rows of A from the second stage on, and the weights.
    """
    state, increment, rows = (Fraction(1),), (Fraction(0),), []
    for index, (keep, share) in enumerate(zip((Fraction(0), *exact(a)), exact(b), strict=True)):
        increment = _sum((keep, increment), (Fraction(1), _slope(index)))
        state = _sum((Fraction(1), state), (share, increment))
        rows.append(state[1:])
    return tuple(rows)


def three_registers(gamma: tuple[Row, Row, Row], delta: Row, beta: Row) -> tuple[Register, ...]:
    """Butcher rows of Ketcheson's 3S* form: `s = s + delta_i u`,
    `u = gamma1_i u + gamma2_i s + gamma3_i y + beta_i h f(u)`.

    Args:
        gamma: shares of the state, of the second register and of the start, from the second stage
            on.
        delta: what the second register takes up, from the second stage on.
        beta: the share of the slope, for each stage.

    Returns:
        The rows of A from the second stage on, and the weights.
    """
    start, one = (Fraction(1),), Fraction(1)
    first, *later = exact(beta)
    second, state = start, _sum((one, start), (first, _slope(0)))
    rows = [state[1:]]
    shares = zip(*(exact(row) for row in (*gamma, delta)), later, strict=True)
    for index, (gamma1, gamma2, gamma3, kept, share) in enumerate(shares, start=1):
        second = _sum((one, second), (kept, state))
        state = _sum((gamma1, state), (gamma2, second), (gamma3, start), (share, _slope(index)))
        rows.append(state[1:])
    return tuple(rows)


def _difference(weights: Register, embedded: Row) -> Register:
    """Weights of the error estimate: those of the solution minus the embedded ones."""
    return _sum((Fraction(1), weights), (Fraction(-1), exact(embedded)))


_CK54 = two_registers(
    a=(
        "-567301805773/1357537059087",
        "-2404267990393/2016746695238",
        "-3550918686646/2091501179385",
        "-1275806237668/842570457699",
    ),
    b=(
        "1432997174477/9575080441755",
        "5161836677717/13612068292357",
        "1720146321549/2090206949498",
        "3134564353537/4481467310338",
        "2277821191437/14882151754819",
    ),
)

ck54 = Tableau(
    "ck54",
    4,
    lower=_CK54[:-1],
    weights=_CK54[-1],
    source="Carpenter & Kennedy (1994), NASA TM 109112, solution 3",
)

_RDPK = three_registers(
    gamma=(
        (
            "0.2587771979725733308135192812685323706",
            "-0.1324380360140723382965420909764953437",
            "0.05056033948190826045833606441415585735",
            "0.5670532000739313812633197158607642990",
        ),
        (
            "0.5528354909301389892439698870483746541",
            "0.6731871608203061824849561782794643600",
            "0.2803103963297672407841316576323901761",
            "0.5521525447020610386070346724931300367",
        ),
        (
            0,
            0,
            "0.2752563273304676380891217287572780582",
            "-0.8950526174674033822276061734289327568",
        ),
    ),
    delta=(
        "0.3407655879334525365094815965895763636",
        "0.3414382655003386206551709871126405331",
        "0.7229275366787987419692007421895451953",
        0,
    ),
    beta=(
        "0.2300298624518076223899418286314123354",
        "0.3021434166948288809034402119555380003",
        "0.8025606185416310937583009085873554681",
        "0.4362158943603440930655148245148766471",
        "0.1129272530455059129782111662594436580",
    ),
)

rdpk3sp35 = Tableau(
    "rdpk3sp35",
    3,
    lower=_RDPK[:-1],
    weights=_RDPK[-1],
    error=_difference(
        _RDPK[-1],
        (
            "0.09484166705035703392326247283838082847",
            "0.1726371339430353766966762629176676070",
            "0.3998243189084371024483169698618455770",
            "0.1718016807580178450618829007973835152",
            "0.05881914422155740300718268359027168467",
            "0.1020760551185952388626787099944507877",
        ),
    ),
    source="Ranocha, Dalcin, Parsani & Ketcheson (2022), Commun. Appl. Math. Comput. 4:1191, RDPK3SpFSAL35",
)
