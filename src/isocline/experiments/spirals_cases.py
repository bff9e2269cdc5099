"""The cells of the spirals' table, and the order in which they are run."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from itertools import product
from typing import NamedTuple

Seeded = tuple["Case", int]


class Kind(NamedTuple):
    """A row of the table: what it is called, and what is built."""

    title: str
    encoder: str | None = None
    gaps: bool = True
    cell: str = "tanh"
    both_ways: bool = False
    taught: bool = False


KINDS = {
    "rnn": Kind("RNN", gaps=False, taught=True),
    "rnn_gaps": Kind("RNN with time differences", taught=True),
    "latent_ode": Kind("latent ODE", "rnn"),
    "latent_ode_both": Kind("latent ODE, trained both ways", "rnn", both_ways=True),
    "gru": Kind("GRU with time differences", cell="gru"),
    "latent_ode_plain": Kind("latent ODE, RNN encoder without times", "plain_rnn"),
    "latent_ode_rnn": Kind("latent ODE, ODE-RNN encoder", "ode_rnn"),
    "latent_ode_attention": Kind("latent ODE, attention encoder", "attention"),
    "latent_ode_mtan": Kind("latent ODE, mTAN encoder", "mtan"),
    "latent_ode_cde": Kind("latent ODE, neural CDE encoder", "cde"),
}
MAIN = ("rnn", "rnn_gaps", "latent_ode")
BESIDE = ("latent_ode_both", "gru")
ENCODERS = tuple(kind for kind in KINDS if kind not in (*MAIN, *BESIDE))


@dataclass(frozen=True)
class Protocol:
    """What is run: the defaults are the experiment, smaller values a test of it.

    Attributes:
        kinds: the rows; keys of `KINDS`.
        noise, other_noise: standard deviations.
        seeds, other_seeds: of the paper's table, and of every other row; those of a run that names
            its seeds are the same for all.
        learning_rate, rnn_learning_rate: chosen on the validation curves, each for its kind.
        rnn_size: hidden units of the RNNs, as in the paper; all else has `hidden_size`.
        average: decay of the running average of the weights that are validated and tested.
        growth, rnn_growth: the horizon of the latent ODE, and that of RNNs which are taught, grows
            over this fraction of the training.
    """

    curves: int = 1000
    noise: float = 0.1
    other_noise: tuple[float, ...] = (0.0, 0.3)
    observations: tuple[int, ...] = (30, 50, 100)
    seeds: int = 5
    other_seeds: int = 1
    epochs: int = 100
    steps: int = 50
    batch: int = 50
    hidden_size: int = 64
    rnn_size: int = 25
    latent_size: int = 8
    learning_rate: float = 8e-3
    rnn_learning_rate: float = 4e-3
    average: float = 0.99
    growth: float = 0.0
    kl_weight: float = 0.01
    kinds: tuple[str, ...] = tuple(KINDS)
    rnn_growth: float = 0.5


QUICK = Protocol(
    kinds=("rnn", "latent_ode", "latent_ode_both"),
    curves=200,
    other_noise=(),
    observations=(30,),
    seeds=1,
    epochs=4,
    batch=32,
    hidden_size=32,
    average=0.9,
)
# What says which cases there are, and nothing about a single one; what is the latent ODE's; and
# what those alone know that are taught.
_GRID = ("kinds", "noise", "other_noise", "observations", "seeds", "other_seeds")
_TAUGHT = ("rnn_growth",)
_LATENT = ("latent_size", "learning_rate", "kl_weight", "growth")


class Case(NamedTuple):
    """One cell of the table."""

    kind: str
    noise: float
    observations: int

    @property
    def is_latent(self) -> bool:
        """Whether it is a latent ODE, and not an RNN."""
        return KINDS[self.kind].encoder is not None

    def run_name(self, seed: int | str) -> str:
        """The name of a run, and of its files."""
        return f"{self.kind}-{self.noise:g}-{self.observations}-{seed}"

    def identity(self, protocol: Protocol, seed: int) -> str:
        """All that makes a run the one it is."""
        others = _GRID if self.is_latent else (*_GRID, *_LATENT)
        others += () if KINDS[self.kind].taught else _TAUGHT
        shared = {key: value for key, value in asdict(protocol).items() if key not in others}
        return json.dumps(shared | self._asdict() | {"seed": seed})


def groups(protocol: Protocol) -> list[tuple[list[Case], int]]:
    """Cases that belong together, what matters most first, and how many seeds they have.

    The paper's table; the GRU, and the latent ODE that learns the past as well; other noise; other
    encoders.
    """
    few, usual = protocol.other_seeds, (protocol.noise,)

    def grid(kinds: Iterable[str], noises: Iterable[float]) -> list[Case]:
        kinds = [kind for kind in kinds if kind in protocol.kinds]
        rows = product(noises, protocol.observations, kinds)
        return [Case(kind, noise, observations) for noise, observations, kind in rows]

    return [
        (grid(MAIN, usual), protocol.seeds),
        (grid(BESIDE, usual), few),
        (grid(MAIN, protocol.other_noise), few),
        (grid(ENCODERS, usual), few),
    ]


def all_cases(protocol: Protocol) -> list[Case]:
    """Every cell of the table, in the order of its rows."""
    return [case for cases, _ in groups(protocol) for case in cases]


def plan(protocol: Protocol, seeds: Sequence[int] | None) -> list[list[Seeded]]:
    """Which runs there are, in stages: what comes first matters most, so any may be the last.

    Args:
        protocol: it says how many seeds each group has.
        seeds: if given, all cells have these; what the protocol asks for still comes first.
    """
    first, then = [], []
    for cases, count in groups(protocol):
        chosen = range(count) if seeds is None else seeds
        first.append([(case, seed) for seed in chosen[:count] for case in cases])
        then.append([(case, seed) for seed in chosen[count:] for case in cases])
    return [stage for stage in first + then if stage]
