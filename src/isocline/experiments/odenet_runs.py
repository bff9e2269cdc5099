"""One network, trained and tested: what the experiments on images repeat."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np

from isocline.data import load_images
from isocline.estimators import ODENetClassifier
from isocline.train.checkpoint import write_bytes

from .results import kept_run


def learn_and_test(
    out: Path,
    name: str,
    data: str,
    settings: dict[str, Any],
    *,
    keep: bool,
    progress: Callable[[dict[str, Any]], None] | None,
) -> dict[str, Any]:
    """Fit to a set's training images and test; what is on disk is not done again.

    Args:
        out: the folder of the experiment; the run is kept in `runs/NAME.json` there, and the state
            of one that goes on in `checkpoints/NAME.safetensors`.
        name: of the run.
        data: a set of images.
        settings: of the classifier.
        keep: save the model, in `models/NAME`; a run whose model is gone is done again.
        progress: called with a row after every epoch.
    """
    identity = json.dumps([data, settings], sort_keys=True)
    path, state = out / "runs" / f"{name}.json", out / "checkpoints" / f"{name}.safetensors"
    model_folder = out / "models" / name
    done = kept_run(path, identity)
    if done is not None and (not keep or model_folder.is_dir()):
        return done
    # A process that goes on compiling runs out of memory maps.
    jax.clear_caches()
    images = load_images(data)
    model = ODENetClassifier(**settings).fit(
        images.train_images,
        images.train_labels,
        checkpoint=state,
        resume=True,
        progress=None if progress is None else lambda row: progress(row | {"stage": name}),
    )
    wrong = _wrong(model, images)
    nfe = float(np.mean(model.nfe_))
    model.network_, chosen = model.last_network_, model.network_
    wrong_last = _wrong(model, images)
    model.network_ = chosen
    if keep:
        model.save(model_folder)
    history = model.history_
    done = {
        "identity": identity,
        "name": name,
        "seed": settings["seed"],
        "settings": model.get_params(),
        "parameters": model.n_parameters_,
        "tested": len(images.test_labels),
        "wrong": wrong,
        "wrong_last": wrong_last,
        "best_epoch": model.best_epoch_,
        "validation_error": history[model.best_epoch_ - 1]["validation_error"],
        "nfe": nfe,
        # The first epoch compiles.
        "epoch_seconds": float(np.median([row["seconds"] for row in history][1:] or [np.nan])),
        "history": history,
    }
    write_bytes(path, json.dumps(done).encode())
    state.unlink(missing_ok=True)
    return done


def _wrong(model: ODENetClassifier, images: Any) -> int:
    return int(np.sum(model.predict(images.test_images) != images.test_labels))
