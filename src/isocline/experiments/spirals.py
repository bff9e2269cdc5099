"""Chen et al. 2018, section 5.1 and table 2: forecasts of irregularly observed spirals.

The paper gives neither the noise nor the curves, so the protocol is ours (`isocline.data.spirals`):
1,000 curves (800 to train, 100 to validate, 100 to test), each with a start and a turn of its own,
noise 0.1. A model reads n of 100 points of a window, and forecasts the next 100. The RNN is the
paper's (25 tanh units); a GRU that is as large as the latent ODE's networks stands beside it.
Training curves go on as noisily and as sparsely after their window as within it; the 100 points
that the RMSE is taken at are without noise. All models have the same windows, batches and steps;
the epoch is chosen on the validation curves.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from isocline.data.spirals import spirals
from isocline.models import GRUForecaster, LatentODE
from isocline.train import Checkpoint, Settings, train
from isocline.train.checkpoint import write_bytes

from .results import answer_of, command_of, kept_run, markdown_table, versions, write_results
from .spirals_figure import draw
from .spirals_tracks import forecast, scores, training_problem

PAPER = {
    "rnn": {30: 0.3937, 50: 0.3202, 100: 0.1813},
    "latent_ode": {30: 0.1642, 50: 0.1502, 100: 0.1346},
}
SCORES = ("rmse", "median_curve", "nll", "coverage_90")
EXAMPLES = 8  # forecasts of so many test curves are kept for the figure


@dataclass(frozen=True)
class Protocol:
    """What is run: the defaults are the experiment, smaller values a test of it.

    Attributes:
        noise, other_noise: standard deviations; with the others, only the fewest observations are
            run.
        seeds, other_seeds: of the paper's table, and of the rows with other noise or encoders.
        learning_rate, rnn_learning_rate: chosen on the validation curves, each for its kind.
        rnn_size: hidden units of the RNNs, as in the paper; all else has `hidden_size`.
        average: decay of the running average of the weights that are validated and tested.
        growth: the latent ODE's horizon grows over this fraction of the training.
    """

    curves: int = 1000
    noise: float = 0.1
    other_noise: tuple[float, ...] = (0.0, 0.3)
    observations: tuple[int, ...] = (30, 50, 100)
    seeds: int = 3
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


QUICK = Protocol(
    curves=200,
    other_noise=(),
    observations=(30,),
    seeds=1,
    epochs=4,
    batch=32,
    hidden_size=32,
    average=0.9,
)


class Kind(NamedTuple):
    """A row of the table: what it is called, and what is built."""

    title: str
    encoder: str | None = None
    gaps: bool = True
    cell: str = "tanh"


KINDS = {
    "rnn": Kind("RNN", gaps=False),
    "rnn_gaps": Kind("RNN with time differences"),
    "latent_ode": Kind("latent ODE", "rnn"),
    "gru": Kind("GRU with time differences", cell="gru"),
    "latent_ode_rnn": Kind("latent ODE, ODE-RNN encoder", "ode_rnn"),
    "latent_ode_attention": Kind("latent ODE, attention encoder", "attention"),
    "latent_ode_mtan": Kind("latent ODE, mTAN encoder", "mtan"),
    "latent_ode_cde": Kind("latent ODE, neural CDE encoder", "cde"),
}
MAIN = ("rnn", "rnn_gaps", "latent_ode")
ENCODERS = ("latent_ode_rnn", "latent_ode_attention", "latent_ode_mtan", "latent_ode_cde")


class Case(NamedTuple):
    """One cell of the table."""

    kind: str
    noise: float
    observations: int


def cases(protocol: Protocol) -> list[list[Case]]:
    """The paper's table first, then the stronger baseline, other noise, and other encoders."""
    fewest = min(protocol.observations)
    paper = [Case(kind, protocol.noise, n) for n in protocol.observations for kind in MAIN]
    others = [Case("gru", protocol.noise, n) for n in protocol.observations]
    others += [Case(kind, noise, fewest) for noise in protocol.other_noise for kind in MAIN[1:]]
    others += [Case(kind, protocol.noise, fewest) for kind in ENCODERS]
    return [paper, others]


def run(
    out: Path,
    *,
    quick: bool = False,
    seeds: Sequence[int] | None = None,
    progress: Callable[[dict[str, Any]], None] | None = None,
    protocol: Protocol | None = None,
) -> dict[str, Any]:
    """Train every model of every case with every seed; runs that are done are not repeated."""
    protocol = protocol or (QUICK if quick else Protocol())
    seeds = seeds or range(protocol.seeds)
    runs: list[dict[str, Any]] = []
    results: dict[str, Any] = {}
    repeats = seeds, seeds[: protocol.other_seeds]
    for group, chosen in zip(cases(protocol), repeats, strict=True):
        for seed in chosen:
            for case in group:
                runs.append(_one(out, protocol, case, seed, progress))
                results = _results(protocol, runs, quick)
                write_results(out, results, results["table"])
    fewest = min(protocol.observations)
    data = spirals(protocol.curves, protocol.noise, fewest, seeds[0])
    draw(out, data, {kind: _examples(runs, kind, fewest, protocol.noise) for kind in MAIN}, fewest)
    return answer_of(results, out)


def _examples(runs: list[dict[str, Any]], kind: str, observations: int, noise: float) -> np.ndarray:
    """Forecasts of the first test curves with the first seed."""
    case = list(Case(kind, noise, observations))
    return np.array(next(one["examples"] for one in runs if one["case"] == case))


def _one(
    out: Path, protocol: Protocol, case: Case, seed: int, progress: Callable[..., None] | None
) -> dict[str, Any]:
    """One run: its scores, from disk if it is done."""
    name = f"{case.kind}-{case.noise:g}-{case.observations}-{seed}"
    is_latent = KINDS[case.kind].encoder is not None
    others = _GRID if is_latent else (*_GRID, *_LATENT)
    shared = {key: value for key, value in asdict(protocol).items() if key not in others}
    identity = json.dumps(shared | case._asdict() | {"seed": seed})
    path = out / "runs" / f"{name}.json"
    if (done := kept_run(path, identity)) is not None:
        return done
    # A process that goes on compiling runs out of memory maps.
    jax.clear_caches()
    data = spirals(protocol.curves, case.noise, case.observations, seed)
    growth = protocol.growth if is_latent else 0.0
    checkpoint = Checkpoint(out / "checkpoints" / f"{name}.safetensors", identity)
    trained = train(
        _model(KINDS[case.kind], protocol, seed),
        training_problem(data, case.noise, protocol.batch, growth, seed),
        _settings(protocol, is_latent),
        seed=seed,
        checkpoint=checkpoint,
        resume=True,
        progress=None if progress is None else lambda row: progress({"stage": name, **row}),
    )
    draws = forecast(trained.model, data, data.test)
    done = {
        "identity": identity,
        "case": list(case),
        "seed": seed,
        **scores(draws, data, data.test, case.noise, seed),
        "validation": min(row["validation"] for row in trained.history),
        "best_epoch": trained.best_epoch,
        "seconds": sum(row["seconds"] for row in trained.history),
        "nfe": draws.nfe,
        "examples": np.round(draws.mean[:, :EXAMPLES].mean(axis=0), 3).tolist()
        if not seed
        else None,
    }
    write_bytes(path, json.dumps(done).encode())
    checkpoint.path.unlink(missing_ok=True)
    return done


def _settings(protocol: Protocol, is_latent: bool) -> Settings:
    return Settings(
        epochs=protocol.epochs,
        steps=protocol.steps,
        learning_rate=protocol.learning_rate if is_latent else protocol.rnn_learning_rate,
        patience=None,
        kl_weight=protocol.kl_weight,
        average=protocol.average,
    )


# What says which cases there are, and nothing about a single one.
_GRID = ("noise", "other_noise", "observations", "seeds", "other_seeds")
_LATENT = ("latent_size", "learning_rate", "kl_weight", "growth")


def _model(kind: Kind, protocol: Protocol, seed: int) -> Any:
    key = jax.random.key(seed)
    if kind.encoder is None:
        size = protocol.rnn_size if kind.cell == "tanh" else protocol.hidden_size
        return GRUForecaster(2, size, key=key, gaps=kind.gaps, cell=kind.cell)
    sizes = protocol.latent_size, protocol.hidden_size
    return LatentODE(2, *sizes, kind.encoder, key=key, noise="constant", field_depth=2)


def _results(protocol: Protocol, runs: list[dict[str, Any]], quick: bool) -> dict[str, Any]:
    summary = [
        row for group in cases(protocol) for case in group if (row := _row(case, runs, protocol))
    ]
    titles = (
        "model",
        "noise",
        "observations",
        "RMSE",
        "spread",
        "the paper's",
        "median curve",
        "NLL",
    )
    titles += ("cover 90 %", "seconds", "seeds")
    seeds = sorted({run["seed"] for run in runs})
    return {
        "command": command_of("spirals", seeds, quick),
        "protocol": asdict(protocol),
        "note": "RMSE of x and y against the 100 noise-free points after the window, over the 100 "
        "test curves; spread is its standard deviation over the seeds, each with curves of its "
        "own. Median curve: the RMSE of the median test curve. NLL (nats a value) and coverage "
        "are of the points with noise. Seconds to train, on a machine that other work ran on. The "
        "paper's noise and curves are not public: its figures stand beside for orientation.",
        "versions": versions("equinox", "optax"),
        "summary": summary,
        "runs": [{key: value for key, value in run.items() if key != "examples"} for run in runs],
        "table": markdown_table(titles, [tuple(row.values()) for row in summary]),
        "table_file": "table.md",
    }


def _row(case: Case, runs: list[dict[str, Any]], protocol: Protocol) -> dict[str, Any] | None:
    """Means over the seeds, or None before the first of them is done."""
    done = [run for run in runs if run["case"] == list(case)]
    if not done:
        return None
    means = {name: float(np.mean([run[name] for run in done])) for name in SCORES}
    published = PAPER.get(case.kind, {}) if case.noise == protocol.noise else {}
    return {
        "model": KINDS[case.kind].title,
        "noise": f"{case.noise:g}",
        "observations": case.observations,
        "rmse": means["rmse"],
        "spread": float(np.std([run["rmse"] for run in done])),
        "paper": published.get(case.observations),
        "median_curve": means["median_curve"],
        "nll": means["nll"],
        "coverage_90": means["coverage_90"],
        "seconds": round(float(np.median([run["seconds"] for run in done]))),
        "seeds": len(done),
    }
