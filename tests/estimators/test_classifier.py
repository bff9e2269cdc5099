"""`ODENetClassifier` learns, resumes, saves and loads, and trades accuracy for run time."""

from __future__ import annotations

import json

import jax
import numpy as np
import pytest

from isocline.data import load_images
from isocline.errors import InputError
from isocline.estimators import ODENetClassifier

TINY = {"channels": 8, "epochs": 2, "batch_size": 32, "average": 0.9}
RESNET = TINY | {"network": "resnet", "blocks": 0}


@pytest.fixture(scope="module")
def digits():
    return load_images("digits")


@pytest.fixture(scope="module")
def few(digits):
    """300 images, with names for labels."""
    names = np.array(digits.classes)
    return digits.train_images[:300], names[digits.train_labels[:300]]


@pytest.fixture(scope="module")
def fitted(digits):
    settings = TINY | {"channels": 16, "epochs": 12, "learning_rate": 1e-2, "distortion": 0.3}
    # Straight trajectories: how far off the worst image is at a tolerance is chance otherwise, and
    # another with every version of JAX.
    settings["energy"] = 3.0
    return ODENetClassifier(**settings).fit(digits.train_images, digits.train_labels)


@pytest.mark.core
def test_it_learns(fitted, digits):
    assert fitted.score(digits.test_images, digits.test_labels) > 0.8
    probabilities = fitted.predict_proba(digits.test_images)
    assert probabilities.shape == (360, 10)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)
    assert 0 < fitted.best_epoch_ <= 12 and len(fitted.history_) == 12


def test_tolerance_is_chosen_when_it_predicts(fitted, digits):
    loose, tight = fitted.with_tolerance(1e-1), fitted.with_tolerance(1e-5)
    answers = [model.predict_proba(digits.test_images) for model in (loose, fitted, tight)]
    assert sum(loose.nfe_) < sum(fitted.nfe_) < sum(tight.nfe_)
    errors = [np.abs(answer - answers[2]).max() for answer in answers]
    assert errors[2] <= errors[1] <= errors[0] and errors[1] < 0.2
    assert fitted.with_tolerance(1e-3, method="bosh3").method == "bosh3" != fitted.method


def test_predictions_do_not_depend_on_what_is_asked_beside(fitted, digits):
    """But for the steps that a batch shares: up to the tolerance."""
    tight = fitted.with_tolerance(1e-5)
    together, alone = (tight.predict_proba(digits.test_images[:n])[:3] for n in (300, 3))
    np.testing.assert_allclose(together, alone, atol=1e-3)


def test_saved_and_loaded(fitted, digits, tmp_path):
    fitted.save(tmp_path / "model")
    loaded = ODENetClassifier.load(tmp_path / "model")
    np.testing.assert_array_equal(
        loaded.predict_proba(digits.test_images), fitted.predict_proba(digits.test_images)
    )
    assert loaded.history_ == fitted.history_ and loaded.get_params() == fitted.get_params()
    config = json.loads((tmp_path / "model" / "config.json").read_text())
    assert config["kind"] == "ODENetClassifier" and config["format"] == 1
    (tmp_path / "model" / "weights.safetensors").write_bytes(b"")
    with pytest.raises(InputError, match="damaged"):
        ODENetClassifier.load(tmp_path / "model")
    with pytest.raises(InputError, match="no model"):
        ODENetClassifier.load(tmp_path)


class Stop(Exception):
    """What a user's Ctrl-C is to the loop."""


@pytest.mark.slow
def test_the_same_seed_gives_the_same_bits_and_so_does_a_resumed_run(few, tmp_path):
    def weights(model):
        return [np.asarray(leaf) for leaf in jax.tree.leaves(model.network_)]

    def stop(row):
        if row["epoch"] == 1:
            raise Stop

    # The baseline compiles faster, and is trained by the same loop.
    whole = ODENetClassifier(**RESNET).fit(*few)
    with pytest.raises(Stop):
        ODENetClassifier(**RESNET).fit(*few, checkpoint=tmp_path / "state", progress=stop)
    again = ODENetClassifier(**RESNET).fit(*few, checkpoint=tmp_path / "state", resume=True)
    for one, other in zip(weights(whole), weights(again), strict=True):
        np.testing.assert_array_equal(one, other)
    with pytest.raises(InputError, match="belongs to other data or settings"):
        other = ODENetClassifier(**(RESNET | {"seed": 1}))
        other.fit(*few, checkpoint=tmp_path / "state", resume=True)


def test_names_for_labels_and_fractions_for_pixels(few):
    images, labels = few
    model = ODENetClassifier(**RESNET).fit(images / 255, labels)
    assert model.predict(images[:5]).dtype == labels.dtype
    assert set(model.classes_) == set(labels)
    np.testing.assert_allclose(
        model.predict_proba(images[:9] / 255), model.predict_proba(images[:9]), atol=1e-6
    )


def test_it_is_an_estimator(few):
    model = ODENetClassifier(channels=8)
    assert model.get_params()["channels"] == 8
    assert model.set_params(epochs=3).epochs == 3
    with pytest.raises(InputError, match="no setting 'depth'"):
        model.set_params(depth=3)
    with pytest.raises(InputError, match="not fitted"):
        model.predict(few[0])


def broken(images, place, value):
    images = images.astype(float) / 255
    images[place] = value
    return images


BAD_IMAGES = {
    "flat": (lambda x: x.reshape(len(x), -1), "reshape"),
    "channels first": (lambda x: np.moveaxis(np.repeat(x, 3, -1), -1, 1), "moveaxis"),
    "NaN": (
        lambda x: broken(x, (17, 3, 4, 0), np.nan),
        "Image 17 is not finite .* row 3, column 4",
    ),
    "infinite": (lambda x: broken(x, (2, 0, 0, 0), np.inf), "Image 2 is not finite"),
    "out of range": (lambda x: x.astype(float), "fractions from 0 to 1"),
    "negative": (lambda x: broken(x, (5, 1, 1, 0), -0.5), "Image 5 is out of range"),
    "large": (lambda x: x.astype(int) * 2, "whole numbers from 0 to 255"),
    "words": (lambda x: np.full(x.shape, "ink"), "numbers are needed"),
    "ragged": (lambda x: [x[0], x[1][:4]], "not all of one size"),
    "tiny": (lambda x: x[:, :3], "at least 6 pixels"),
    "none": (lambda x: x[:0], "no images"),
}


@pytest.mark.parametrize("name", BAD_IMAGES)
def test_bad_images(few, name):
    change, message = BAD_IMAGES[name]
    with pytest.raises(InputError, match=message):
        ODENetClassifier(**TINY).fit(change(few[0]), few[1])


BAD_LABELS = {
    "too few": (lambda y: y[:-1], {}, "one for each of 300 images"),
    "missing": (lambda y: np.where(y == 3, np.nan, y), {}, "is nan"),
    "fractions": (lambda y: y + 0.5, {}, "whole number or a name"),
    "out of range": (lambda y: y, {"classes": range(9)}, "none of the classes 0, 1, 2.*8; "),
    "an empty class": (lambda y: y, {"classes": range(11)}, "Class 10 has no images"),
    "one image": (lambda y: np.where(np.arange(300) == 7, 11, y), {}, "Class 11 has 1 image:"),
    "one class": (lambda y: np.zeros_like(y), {}, "two classes at least"),
    "a mixture": (lambda y: np.array([None, *y[1:]], object), {}, "all of them whole numbers"),
}


@pytest.mark.parametrize("name", BAD_LABELS)
def test_bad_labels(few, name):
    change, options, message = BAD_LABELS[name]
    labels = few[1].astype(int)
    with pytest.raises(InputError, match=message):
        ODENetClassifier(**TINY).fit(few[0], change(labels), **options)


BAD_SETTINGS = {
    "network": "cnn", "stem": "large", "adjoint": "forward", "method": "tsit6",
    "tolerance": 0, "learning": ("rk4", 0), "epochs": 0, "smoothing": 1.0, "validation": 0,
    "flip": "yes", "seed": -1,
}  # fmt: skip


@pytest.mark.parametrize("name", BAD_SETTINGS)
def test_bad_settings(few, name):
    with pytest.raises(InputError, match=str(BAD_SETTINGS[name]).strip("()").replace("(", r"\(")):
        ODENetClassifier(**{name: BAD_SETTINGS[name]}).fit(*few)


@pytest.mark.slow
def test_rk_net_learns_by_its_steps_and_answers_to_any_tolerance(few):
    model = ODENetClassifier(**(TINY | {"epochs": 1, "adjoint": "direct"})).fit(*few)
    assert np.isfinite(model.with_tolerance(1e-5).predict_proba(few[0][:4])).all()
    with pytest.raises(InputError, match="their number must be given"):
        ODENetClassifier(adjoint="direct", learning=None).fit(*few)


@pytest.mark.slow
def test_learning_to_a_tolerance_tries_the_block_in_one_step(few):
    model = ODENetClassifier(**(TINY | {"epochs": 1, "learning": None})).fit(*few)
    first = model.history_[0]
    # The field at the start and the six stages of tsit5, where a guess asks for 14.
    assert first["nfe"] == 7 < first["validation_nfe"]


def test_a_method_without_error_estimate_can_not_predict(few):
    with pytest.raises(InputError, match="can not adapt"):
        ODENetClassifier(method="rk4").fit(*few)


def test_other_images_are_refused_later(fitted, digits):
    with pytest.raises(InputError, match="8 x 7 with 1 channel, and the model learnt from 8 x 8"):
        fitted.predict(digits.test_images[:, :, 1:])
    with pytest.raises(InputError, match="one for each of 360 images"):
        fitted.score(digits.test_images, digits.test_labels[:4])
