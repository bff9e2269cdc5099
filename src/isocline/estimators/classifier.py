"""`ODENetClassifier`: images in, probabilities of classes out."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from isocline.errors import InputError
from isocline.models.ode_net import (
    WHOLE,
    Architecture,
    Solving,
    build_network,
    count_parameters,
    with_solving,
    with_tolerance,
)
from isocline.train import Checkpoint, Problem, Settings, train

from .checking import check_classifier
from .fingerprint import digest_of
from .image_checking import read_images, read_labels
from .image_training import Examples, Scale, image_problem
from .learning import require_usable
from .settings import Configured
from .storing import filled, leaves_of, read_model, refusing_damage, write_model

PREDICTED = 250  # images at a time
KIND = "ODENetClassifier"


class ODENetClassifier(Configured):
    """An ODE-Net (Chen et al. 2018, sec. 3) for images, in scikit-learn's manner.

    A few convolutions, one solve of a convolutional vector field, and a linear classifier. While it
    learns the solve takes few fixed steps; predictions take as many as the tolerance asks for, and
    another tolerance needs no other training: `model.with_tolerance(1e-1)`.

    Args:
        network: "ode"; or what to compare it with, on the same stem: "resnet" (`blocks` residual
            blocks, 0 for none at all) or "mlp" (one hidden layer).
        channels: of the state.
        augment: channels of zeros beside these (ANODE, Dupont et al. 2019).
        energy: weight of the kinetic energy of the solve while it learns (RNODE, Finlay et al.
            2020): straighter trajectories err less and take fewer evaluations.
        blocks: of "resnet".
        stem: "small", "medium", or "chen" for the paper's: each costs several times the one before.
        method, tolerance: of the solver that predicts (rtol and atol of `isocline.solve`).
        learning: method and number of equal steps of the solver while learning; None for the steps
            that the tolerance asks for.
        adjoint: of the solver while learning.
        epochs, batch_size, learning_rate, weight_decay, average: of training (AdamW; average is the
            decay of the running average of the weights that predictions use).
        smoothing: of the labels.
        distortion: how much images are shifted, turned, sheared and zoomed while learning (0: not
            at all; 1: up to 8 % of the size, 10 degrees).
        flip: whether left and right may change places.
        validation: the share of the images that is held out, to choose the epoch by.
        seed: of everything random.

    Attributes:
        classes_, network_, scale_, history_, best_epoch_, n_parameters_: after `fit`.
        nfe_: evaluations of the field by the last prediction, for each batch of it.
    """

    def __init__(
        self,
        *,
        network: str = "ode",
        channels: int = 64,
        augment: int = 0,
        energy: float = 0.1,
        blocks: int = 6,
        stem: str = "small",
        method: str = "tsit5",
        tolerance: float = 1e-3,
        learning: tuple[str, int] | None = ("rk4", 1),
        adjoint: str = "replay",
        epochs: int = 20,
        batch_size: int = 128,
        learning_rate: float = 3e-3,
        weight_decay: float = 1e-2,
        average: float = 0.998,
        smoothing: float = 0.05,
        distortion: float = 1.0,
        flip: bool = False,
        validation: float = 1 / 12,
        seed: int = 0,
    ):
        self.network = network
        self.channels = channels
        self.augment = augment
        self.energy = energy
        self.blocks = blocks
        self.stem = stem
        self.method = method
        self.tolerance = tolerance
        self.learning = learning
        self.adjoint = adjoint
        self.epochs = epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.average = average
        self.smoothing = smoothing
        self.distortion = distortion
        self.flip = flip
        self.validation = validation
        self.seed = seed

    def fit(
        self,
        X: Any,
        y: Any,
        *,
        classes: Sequence[Any] | None = None,
        checkpoint: str | Path | None = None,
        resume: bool = False,
        progress: Callable[[dict[str, Any]], None] | None = None,
    ) -> Self:
        """Learn to tell images apart.

        Args:
            X: images, `(n, height, width)` or with channels last: bytes, or fractions of 1.
            y: the class of each: numbers or names.
            classes: all classes, if some order is wanted; those in `y` if not given.
            checkpoint: a file that keeps the state of training after every epoch.
            resume: go on from there, exactly where it stopped.
            progress: called after every epoch with epoch, loss, error, validation, nfe and seconds.

        Raises:
            InputError: a setting, an image or a label does not fit; the message says which and how
                to mend it.
        """
        check_classifier(self.get_params())
        images = read_images(X)
        self.classes_, labels = read_labels(y, len(images), classes)
        self.shape_ = tuple(map(int, images.shape[1:]))
        train_part, validation_part = self._split(images, labels)
        pixels = train_part.images / np.float32(255)
        self.scale_ = Scale(float(pixels.mean()), float(pixels.std()) or 1.0)
        kept = checkpoint
        if kept is not None:
            parts = images.tobytes(), labels.tobytes()
            kept = Checkpoint(kept, digest_of([self.get_params(), KIND], parts))
        network = self._build()
        trained = train(
            network,
            self._problem(train_part, validation_part),
            self._settings(len(train_part.labels)),
            seed=self.seed,
            checkpoint=kept,
            resume=resume,
            progress=progress,
        )
        require_usable(trained)
        self.network_, self.history_ = trained.model, trained.history
        self.last_network_, self.best_epoch_ = trained.last, trained.best_epoch
        self.n_parameters_ = count_parameters(network)
        return self

    def predict_proba(self, X: Any) -> Float[np.ndarray, "n classes"]:
        """The probability of each class, in the order of `classes_`."""
        self._require_fitted()
        images = read_images(X, self.shape_)
        return self._probabilities(self.network_, images)

    def predict(self, X: Any) -> np.ndarray:
        """The likeliest class of each image."""
        likeliest = np.argmax(self.predict_proba(X), axis=1)
        return self.classes_[likeliest]

    def score(self, X: Any, y: Any) -> float:
        """The share of images whose class is found."""
        found = self.predict(X)
        labels = np.asarray(y)
        if labels.shape != found.shape:
            raise InputError(
                f"The labels have shape {labels.shape}: one for each of {len(found)} images is "
                f"needed."
            )
        return float(np.mean(found == labels))

    def with_tolerance(self, tolerance: float, method: str | None = None) -> Self:
        """The same model, its predictions solved to another tolerance: accuracy for run time.

        Args:
            tolerance: relative and absolute.
            method: another method; the same one if not given.
        """
        self._require_fitted()
        changed = copy.copy(self).set_params(tolerance=tolerance, method=method or self.method)
        check_classifier(changed.get_params())
        changed.network_ = with_solving(self.network_, changed._solving())
        return changed

    def save(self, directory: str | Path) -> None:
        """Write `config.json` and `weights.safetensors`; if that fails, nothing is lost."""
        self._require_fitted()
        config = {
            "kind": KIND,
            "settings": self.get_params(),
            "classes": self.classes_.tolist(),
            "shape": list(self.shape_),
            "scale": list(self.scale_),
            "history": self.history_,
            "best_epoch": self.best_epoch_,
        }
        write_model(Path(directory), config, leaves_of("network", self.network_))

    @classmethod
    def load(cls, directory: str | Path) -> Self:
        """Read what `save` wrote; InputError says what is wrong with a damaged directory."""
        config, arrays = read_model(Path(directory), KIND, f"{KIND}.save wrote")
        with refusing_damage(directory):
            learning = config["settings"]["learning"]  # JSON has no tuples
            learning = None if learning is None else tuple(learning)
            model = cls(**(config["settings"] | {"learning": learning}))
            model.classes_ = np.asarray(config["classes"])
            model.shape_, model.scale_ = tuple(config["shape"]), Scale(*config["scale"])
            model.history_, model.best_epoch_ = config["history"], config["best_epoch"]
            model.network_ = filled(model._build(), "network", arrays)
            model.n_parameters_ = count_parameters(model.network_)
        return model

    def _problem(self, train_part: Examples, validation_part: Examples) -> Problem:
        return image_problem(
            train_part,
            validation_part,
            self.scale_,
            (self._solving(learning=True), self.energy),
            batch_size=self.batch_size,
            distortion=self.distortion,
            flip=self.flip,
            smoothing=self.smoothing,
        )

    def _settings(self, images: int) -> Settings:
        return Settings(
            epochs=self.epochs,
            steps=max(images // self.batch_size, 1),
            learning_rate=self.learning_rate,
            weight_decay=self.weight_decay,
            patience=None,
            average=self.average,
            catch_up=True,
            together=1,
        )

    def _solving(self, learning: bool = False) -> Solving:
        # Answers are not differentiated, and adjoint="direct" would have to bound their steps.
        adjoint = self.adjoint if learning else "replay"
        if learning and self.learning is not None:
            method, steps = self.learning
            return Solving(method, steps=steps, adjoint=adjoint)
        # One step over all of the block may do while it learns, and is worth a try there; answers
        # start with a step short enough for the estimate of its error to be trusted.
        first = WHOLE if learning else None
        return Solving(self.method, self.tolerance, self.tolerance, adjoint=adjoint, dt0=first)

    def _build(self) -> Any:
        names = ("channels", "blocks", "stem", "augment")
        architecture = Architecture(
            self.network,
            self.shape_,
            len(self.classes_),
            **{name: getattr(self, name) for name in names},
        )
        return build_network(architecture, self._solving(), key=jax.random.key(self.seed))

    def _split(self, images: np.ndarray, labels: np.ndarray) -> tuple[Examples, Examples]:
        """The part to learn from, and the one to choose the epoch by: some of every class."""
        draw = np.random.default_rng(self.seed)
        held = np.zeros(len(labels), bool)
        for index in range(len(self.classes_)):
            own = draw.permutation(np.flatnonzero(labels == index))
            held[own[: min(max(round(self.validation * len(own)), 1), len(own) - 1)]] = True
        return Examples(images[~held], labels[~held]), Examples(images[held], labels[held])

    def _probabilities(self, network: Any, images: np.ndarray) -> np.ndarray:
        answers, self.nfe_ = [], []
        # The tolerance is an argument of the program, so that another needs no other program.
        network = with_solving(network, replace(self._solving(), rtol=0.0, atol=0.0))
        size = min(PREDICTED, len(images))
        for first in range(0, len(images), size):
            part = images[first : first + size]
            # The last batch as long as the others, for the program that is there already.
            padded = np.concatenate([part, np.repeat(part[-1:], size - len(part), axis=0)])
            tolerance = jnp.float32(self.tolerance)
            probabilities, nfe = _answer(self.scale_, network, tolerance, jnp.asarray(padded))
            answers.append(np.asarray(probabilities)[: len(part)])
            self.nfe_.append(float(nfe))
        return np.concatenate(answers)

    def _require_fitted(self) -> None:
        if not hasattr(self, "network_"):
            raise InputError(
                f"This {KIND} is not fitted yet: call fit(X, y) first, or load a model."
            )


@eqx.filter_jit
def _answer(scale: Scale, network: Any, tolerance: Any, images: Any) -> tuple[Any, Any]:
    outcome = with_tolerance(network, tolerance)(scale(images))
    return jax.nn.softmax(outcome.logits), outcome.nfe
