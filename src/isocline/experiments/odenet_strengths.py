"""What a trained ODE-Net has beside its error: answers to noise and attacks, and a way back.

Noise and attack are those of Yan et al. (2020), "On Robustness of Neural ODEs", on networks that
have seen neither while they learnt. An attack by one gradient is a weak one: it says who is easily
fooled, not who is safe.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax

from isocline.data import load_images
from isocline.estimators import ODENetClassifier
from isocline.models.ode_net import SPAN

from .odenet_curves import block_flow
from .results import markdown_table

SOME, PART = 1000, 100  # test images, and how many at a time
NOISES = (50, 75, 100)  # standard deviations, of 255
STEPS = (0.15, 0.3)  # of an attack, of a pixel's range
BACK = (1e-3, 1e-4, 1e-5, 1e-6)  # tolerances of the way there and back


def answers_to_noise(out: Path, data: str, models: dict[str, str]) -> list[dict[str, Any]]:
    """The share of test images that each model tells, as they are and changed.

    The changes are normal noise, the same for all models, and a step of each pixel by the sign of
    the loss's gradient (FGSM, Goodfellow et al. 2015), through the solver at the model's tolerance.

    Args:
        out, data: the folder of the experiment, and its set of images.
        models: names of runs, whose models are kept, by what they are.
    """
    images = load_images(data)
    clean, labels = images.test_images[:SOME], images.test_labels[:SOME]
    fractions = np.asarray(clean, np.float32) / np.float32(255)
    noise = np.random.default_rng(0).normal(size=fractions.shape).astype(np.float32)
    rows = []
    for name, run in models.items():
        model = ODENetClassifier.load(out / "models" / run)
        changed = {"clean": fractions}
        changed |= {f"noise {size}": fractions + noise * (size / 255) for size in NOISES}
        signs = np.sign(_gradient(model, fractions, np.searchsorted(model.classes_, labels)))
        changed |= {f"FGSM {step}": fractions + step * signs for step in STEPS}
        told = {key: model.score(np.clip(pixels, 0, 1), labels) for key, pixels in changed.items()}
        rows.append({"model": name} | told)
    return rows


def _gradient(model: ODENetClassifier, images: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """Of the loss by each pixel."""

    @eqx.filter_jit
    def gradient(network: Any, pixels: Any, classes: Any) -> Any:
        def loss(pixels: Any) -> Any:
            logits = network(model.scale_(255 * pixels)).logits
            return optax.softmax_cross_entropy_with_integer_labels(logits, classes).sum()

        return jax.grad(loss)(pixels)

    # Parts of one size, for one program: the last begins earlier if it has to.
    starts = [min(start, len(images) - PART) for start in range(0, len(images), PART)]
    found = np.empty_like(images)
    for start in starts:
        part = slice(start, start + PART)
        found[part] = gradient(model.network_, images[part], classes[part])
    return found


def way_back(out: Path, data: str, run: str) -> list[dict[str, Any]]:
    """How well an ODE-Net's block is inverted: its flow from 0 to 1, and from there to 0.

    A row a tolerance: the error of the state that comes back relative to its size, and NFE of the
    way back.
    """
    model = ODENetClassifier.load(out / "models" / run)
    images = load_images(data).test_images[:PART]
    network = model.network_
    there = network.block.start(network.stem(model.scale_(jnp.asarray(images))))

    flow = block_flow(model.method)
    rows = []
    for tolerance in BACK:
        end, _ = flow(network.block.field, there, jnp.array(SPAN), jnp.float32(tolerance))
        back, nfe = flow(network.block.field, end, jnp.array(SPAN[::-1]), jnp.float32(tolerance))
        error = jnp.linalg.norm(back - there) / jnp.linalg.norm(there)
        rows.append({"tolerance": tolerance, "error": float(error), "nfe": float(nfe)})
    return rows


def strengths_table(told: list[dict[str, Any]], back: list[dict[str, Any]]) -> str:
    """Both as tables."""
    titles = list(told[0])
    shares = [(row["model"], *(f"{100 * row[title]:.1f}" for title in titles[1:])) for row in told]
    heads = [titles[0], *(f"{title}, % right" for title in titles[1:])]
    ways = [(f"{row['tolerance']:.0e}", f"{row['error']:.1e}", f"{row['nfe']:.0f}") for row in back]
    return "\n\n".join(
        [
            markdown_table(heads, shares),
            markdown_table(("tolerance", "error there and back", "NFE back"), ways),
        ]
    )
