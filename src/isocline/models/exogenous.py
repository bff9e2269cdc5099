"""Covariates in a sequence model: what is read before the origin, and what drives it after."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from isocline.nn import ForcedField
from isocline.nn.fields import seasons_at
from isocline.ode import ConstantPath, LinearPath


@dataclass(frozen=True)
class Widths:
    """How many covariates of each kind a model takes.

    Attributes:
        past: readings up to the origin.
        known: inputs that are known ahead.
        static: numbers that stay.
        waves: frequencies of the calendar's waves, in radians per unit of model time.
        hold: known inputs hold their value up to where they are given next, instead of going there
            in a straight line.
        fastest: a field is not told of faster waves, which its steps would not follow; a decoder
            is, at the very times it is asked.
    """

    past: int = 0
    known: int = 0
    static: int = 0
    waves: tuple[float, ...] = ()
    hold: bool = False
    fastest: float = math.inf

    @property
    def driving(self) -> int:
        """Inputs with a value at any time: known ones, then cosines and sines of the waves."""
        return self.known + 2 * len(self.waves)

    @property
    def read(self) -> int:
        """More channels of an encoder: readings, then driving inputs."""
        return self.past + self.driving

    @property
    def forcing(self) -> int:
        """What a decoder or a posterior is told beside its state."""
        return self.driving + self.static

    @property
    def felt(self) -> tuple[int, ...]:
        """Which of that a field is told."""
        slow = [frequency <= self.fastest for frequency in self.waves]
        told = [True] * self.known + 2 * slow + [True] * self.static
        return tuple(index for index, wanted in enumerate(told) if wanted)


NO_COVARIATES = Widths()


class Drive(eqx.Module):
    """What is known at any time: a path between knots, the calendar, and what stays.

    Attributes:
        knots: rising times of the path in model time, from before the origin on.
        known: scaled inputs at the knots.
        phase: where each wave of the calendar stands at time 0, in radians.
        static: scaled.
    """

    knots: Float[Array, "*batch knots"]
    known: Float[Array, "*batch knots known"]
    phase: Float[Array, "*batch waves"]
    static: Float[Array, "*batch static"]

    def at(self, t: Float[Array, ""], widths: Widths) -> Float[Array, " forcing"]:
        """Driving inputs and static ones for one trajectory (arrays without a batch axis)."""
        parts = [seasons_at(t, jnp.asarray(widths.waves, t.dtype), self.phase), self.static]
        if widths.known:
            path = (ConstantPath if widths.hold else LinearPath)(self.knots, self.known)
            parts.insert(0, path(t))
        return jnp.concatenate(parts)

    def along(
        self, times: Float[Array, "batch times"], widths: Widths
    ) -> Float[Array, "batch times forcing"]:
        """The same at the times of each trajectory of a batch."""

        def one(drive: Drive, ts: Float[Array, " times"]) -> Array:
            return jax.vmap(lambda t: drive.at(t, widths))(ts)

        return jax.vmap(one)(self, times)

    def now(self, widths: Widths) -> Float[Array, "batch forcing"]:
        """The same at time 0, the origin."""
        return self.along(jnp.zeros((self.knots.shape[0], 1), self.knots.dtype), widths)[:, 0]

    def since(self, start: Float[Array, " batch"], widths: Widths) -> Drive:
        """The same, with time counted from a start of each trajectory's own."""
        waves = jnp.asarray(widths.waves, start.dtype)
        phase = self.phase + start[:, None] * waves
        return Drive(self.knots - start[:, None], self.known, phase, self.static)


class Exogenous(eqx.Module):
    """The covariates of a batch of windows.

    Attributes:
        values: at the observations of the context: readings, then driving inputs, scaled.
        mask: which of them are known.
        drive: what is known before and after the origin.
        grid: the steps of a solve in model time, fine enough to see every knot; None: they adapt.
    """

    values: Float[Array, "batch observations read"]
    mask: Bool[Array, "batch observations read"]
    drive: Drive
    grid: Float[Array, "batch points"] | None = None


class DrivenField(eqx.Module):
    """A forced field that is told the drive at each time; `args` has it as its third entry."""

    field: ForcedField
    widths: Widths = eqx.field(static=True)

    def __call__(
        self, t: Float[Array, ""], z: Float[Array, " latent"], args: tuple[Array, Array, Drive]
    ) -> Float[Array, " latent"]:
        """The slope."""
        frequencies, phase, drive = args
        told = drive.at(t, self.widths)[jnp.asarray(self.widths.felt, jnp.int32)]
        return self.field(t, z, (frequencies, phase, told))


def solver_on(grid: Float[Array, "batch points"]) -> dict[str, Any]:
    """Options of `solve` for a field that a path drives.

    An adaptive step that is longer than a holiday may never look at it. Heun's method weighs both
    ends of each step alike, and so gives the integral of a path through evenly spaced knots
    exactly, wherever its steps begin, if these are as short as its pieces.
    """
    return {"method": "heun", "grid": grid, "max_steps": grid.shape[1]}
