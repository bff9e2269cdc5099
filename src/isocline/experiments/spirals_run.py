"""One model of the spirals' table: trained, tested, and kept."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np

from isocline.data.spirals import Spirals, spirals
from isocline.estimators.storing import filled, leaves_of, read_model, write_model
from isocline.models import GRUForecaster, LatentODE
from isocline.train import Checkpoint, Problem, Settings, train
from isocline.train.checkpoint import write_bytes

from .results import kept_run
from .spirals_cases import KINDS, Case, Protocol
from .spirals_scores import scores, scores_backwards
from .spirals_taught import taught_loss
from .spirals_tracks import backcast, forecast, training_problem

EXAMPLES = 8  # predictions of so many test curves are kept for the figures
_SOURCE = "`isocline reproduce spirals` wrote, in its models"


def kept_case(out: Path, protocol: Protocol, case: Case, seed: int) -> dict[str, Any] | None:
    """A run that is on disk already."""
    return kept_run(out / "runs" / f"{case.run_name(seed)}.json", case.identity(protocol, seed))


def run_case(
    out: Path,
    protocol: Protocol,
    case: Case,
    seed: int,
    progress: Callable[[dict[str, Any]], None] | None,
    *,
    keep: bool = False,
) -> dict[str, Any]:
    """One run: its scores, from disk if it is done.

    Args:
        out: the folder of the experiment.
        protocol, case, seed: which run.
        progress: called with a row after every epoch.
        keep: save the model as well; a run without its model is done again.
    """
    name, identity = case.run_name(seed), case.identity(protocol, seed)
    done = kept_case(out, protocol, case, seed)
    if done is not None and not (keep and load_kept(out, protocol, case, seed) is None):
        return done
    # A process that goes on compiling runs out of memory maps.
    jax.clear_caches()
    data = spirals(protocol.curves, case.noise, case.observations, seed)
    checkpoint = Checkpoint(out / "checkpoints" / f"{name}.safetensors", identity)
    trained = train(
        _model(case, protocol, seed),
        _problem(data, case, protocol, seed),
        _settings(protocol, case.is_latent),
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
        "examples": _examples(draws.mean, seed),
    }
    if case.is_latent:
        behind = backcast(trained.model, data, data.test)
        done |= scores_backwards(behind, data, data.test)
        done["examples_backwards"] = _examples(behind.mean, seed)
    if keep:
        config = {"kind": LatentODE.__name__, "identity": identity}
        write_model(_folder(out, case, seed), config, leaves_of(case.kind, trained.model))
    write_bytes(out / "runs" / f"{name}.json", json.dumps(done).encode())
    checkpoint.path.unlink(missing_ok=True)
    return done


def load_kept(out: Path, protocol: Protocol, case: Case, seed: int) -> LatentODE | None:
    """The latent ODE of a run that kept it; None if there is none of this very run."""
    folder = _folder(out, case, seed)
    if not (folder / "config.json").is_file():
        return None
    config, arrays = read_model(folder, LatentODE.__name__, _SOURCE)
    if config["identity"] != case.identity(protocol, seed):
        return None
    return filled(_model(case, protocol, seed), case.kind, arrays)


def _folder(out: Path, case: Case, seed: int) -> Path:
    return out / "models" / case.run_name(seed)


def _examples(mean: np.ndarray, seed: int) -> list | None:
    """Of the first test curves, with the first seed."""
    return None if seed else np.round(mean[:, :EXAMPLES].mean(axis=0), 3).tolist()


def _problem(data: Spirals, case: Case, protocol: Protocol, seed: int) -> Problem:
    """What the model learns from, and how."""
    windows = data, case.noise, protocol.batch
    if KINDS[case.kind].taught:
        return training_problem(*windows, protocol.rnn_growth, seed, loss=taught_loss)
    growth = protocol.growth if case.is_latent else 0.0
    return training_problem(*windows, growth, seed, both_ways=KINDS[case.kind].both_ways)


def _settings(protocol: Protocol, is_latent: bool) -> Settings:
    return Settings(
        epochs=protocol.epochs,
        steps=protocol.steps,
        learning_rate=protocol.learning_rate if is_latent else protocol.rnn_learning_rate,
        patience=None,
        kl_weight=protocol.kl_weight,
        average=protocol.average,
    )


def _model(case: Case, protocol: Protocol, seed: int) -> Any:
    key, kind = jax.random.key(seed), KINDS[case.kind]
    if kind.encoder is None:
        size = protocol.rnn_size if kind.cell == "tanh" else protocol.hidden_size
        return GRUForecaster(2, size, key=key, gaps=kind.gaps, cell=kind.cell)
    sizes = protocol.latent_size, protocol.hidden_size
    return LatentODE(2, *sizes, kind.encoder, key=key, noise="constant", field_depth=2)
