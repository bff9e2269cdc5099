"""Rates of events: recovered from simulated ones, and the laws of a Poisson process."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager

import equinox as eqx
import jax
import numpy as np
import pytest

from isocline import EventIntensity, InputError, LatentODEForecaster
from isocline.estimators import event_sequences, event_training
from isocline.estimators.event_sequences import asked, padded
from isocline.estimators.event_training import in_chunks, weighted_bounds
from isocline.estimators.events import DRAWS

END = 10.0


def true_rate(times):
    return 3 + 2.5 * np.sin(2 * np.pi * times / END)


def simulate(count, seed=0, scale=1.0):
    """Inhomogeneous Poisson processes by thinning (Lewis & Shedler 1979)."""
    rng = np.random.default_rng(seed)
    highest = 5.5 * scale
    sequences = []
    for _ in range(count):
        times = rng.uniform(0, END, rng.poisson(highest * END))
        sequences.append(times[rng.uniform(0, highest, len(times)) < scale * true_rate(times)])
    return sequences


@pytest.fixture(scope="module")
def fitted():
    model = EventIntensity(latent_size=2, hidden_size=16, epochs=30, learning_rate=1e-2)
    return model.fit(simulate(150), END)


@pytest.mark.slow
def test_the_true_rate_is_recovered(fitted):
    at = np.linspace(0, END, 101)
    found, truth = fitted.rate(at), true_rate(at)
    assert np.sqrt(np.mean((found - truth) ** 2)) < 0.2 * truth.mean()
    assert np.corrcoef(found, truth)[0, 1] > 0.96


@pytest.mark.slow
def test_the_expected_number_is_the_integral_of_the_rate(fitted):
    at = np.linspace(0, END, 401)
    from scipy.integrate import cumulative_simpson

    for sequence in (None, simulate(1, 5)[0]):
        expected = cumulative_simpson(fitted.rate(at, sequence), x=at, initial=0)
        np.testing.assert_allclose(fitted.expected(at, sequence), expected, rtol=3e-3, atol=3e-3)


@pytest.mark.slow
def test_the_score_is_near_that_of_the_truth_and_above_a_constant_rates(fitted):
    """By the density in closed form; no model is better than the truth but by chance."""
    fresh = simulate(100, 9)
    count = np.mean([len(one) for one in fresh])
    truth = np.mean([np.log(true_rate(one)).sum() for one in fresh]) - 3 * END
    constant = count * np.log(3.0) - 3 * END
    score = fitted.score(fresh)
    assert constant + 0.6 * (truth - constant) < score < truth + 0.5


@pytest.mark.parametrize(
    ("sequences", "end", "settings", "message"),
    [
        ([[1, 2], [11]], 10, {}, r"Sequence 1 \(counted from 0\) has an event outside of 0 to 10"),
        ([[1, np.nan], [1]], 10, {}, "Sequence 0"),
        ([[1], [2]], 0, {}, "end=0 must be a positive number"),
        ([[1]], 10, {}, "at least two sequences"),
        ([], 10, {}, "at least two sequences"),
        ([[], []], 10, {}, "an event in one of them"),
        ([1.0, 2.0, 3.0], 10, {}, r"Sequence 0 \(counted from 0\) is 1.0: it must be a list"),
        ([["noon"], [1]], 10, {}, r"Sequence 0 .*must be a list of the times"),
        (None, 10, {}, "sequences must be a list of lists"),
        ([[1], [2]], "10", {}, "end='10' must be a positive number"),
        ([[1], [2]], None, {}, "end=None must be a positive number"),
        ([[1], np.full(50_001, 2.0)], 10, {}, r"Sequence 1 .* has 50,001 events, more than 50,000"),
        (
            [[1, 2]] + [[]] * 5,
            10,
            {},
            r"Sequence 0 .* has 2 events, and each of all 6 gets as much",
        ),
        ([[1], [2]], 10, {"encoder": "mtann"}, "encoder='mtann' must be one of"),
        ([[1], [2]], 10, {"validation": 1.0}, "validation=1.0 must be"),
    ],
)
def test_what_does_not_fit_is_named(sequences, end, settings, message, monkeypatch):
    if "as much" in message:
        monkeypatch.setattr(event_sequences, "MOST_ROOM", 11)
    with pytest.raises(InputError, match=message):
        EventIntensity(**settings).fit(sequences, end)


def test_a_rate_is_asked_of_what_is_fitted():
    with pytest.raises(InputError, match="not fitted"):
        EventIntensity().rate([1.0])


@contextmanager
def compilations() -> Iterator[list[str]]:
    """The programs that JAX makes meanwhile."""
    made = []

    def note(event, _, **more):
        if event == "/jax/core/compile/jaxpr_to_mlir_module_duration":
            made.append(more.get("fun_name", ""))

    jax.monitoring.register_event_duration_secs_listener(note)
    try:
        yield made
    finally:
        jax.monitoring.unregister_event_duration_listener(note)


@pytest.fixture(scope="module")
def hasty():
    return EventIntensity(latent_size=2, hidden_size=8, epochs=1).fit(simulate(20), END)


@pytest.mark.slow
def test_sequences_of_other_lengths_compile_nothing(hasty):
    """Nor do other numbers of times, or a second score."""
    sequences = [np.linspace(0.5, 9.5, count) for count in (1, 3, 8, 13, 16)]
    at = np.linspace(0, END, 16)
    hasty.expected(at, sequences[0])
    hasty.score(sequences[:3], 2)
    with compilations() as made:
        for number, sequence in enumerate(sequences, 5):
            assert hasty.expected(at[:number], sequence).shape == (number,)
            assert hasty.rate(at[:number], sequence).shape == (number,)
        hasty.score(sequences[:3], 2)
    assert made == []
    with compilations() as made:
        hasty.expected(at, np.linspace(0.5, 9.5, 17))
    assert made


def test_room_for_more_changes_no_answer(hasty, monkeypatch):
    at, sequence = [2.0, 7.0, 5.0], simulate(1, 3)[0]
    found = hasty.rate(at, sequence), hasty.expected(at, sequence)
    monkeypatch.setattr(event_sequences, "LEAST_ROOM", 128)
    np.testing.assert_allclose(hasty.rate(at, sequence), found[0], rtol=1e-5)
    np.testing.assert_allclose(hasty.expected(at, sequence), found[1], rtol=1e-5)


def test_wrong_questions_are_refused_in_words(hasty):
    for draws in (0, 2.5, True):
        with pytest.raises(InputError, match=r"draws=.* must be a whole number"):
            hasty.score([[1.0]], draws)
    with pytest.raises(InputError, match="no sequence to score"):
        hasty.score([])
    for times in ("noon", [[1], [2, 3]], [END + 1]):
        with pytest.raises(InputError, match="times must be a list of numbers from 0 to 10"):
            hasty.rate(times)


def test_the_score_is_the_mean_of_each_sequences_in_chunks_or_not(hasty, monkeypatch):
    fresh = [*simulate(3, 4), []]
    found = hasty.score_samples(fresh, 4)
    assert found.shape == (4,) and np.isfinite(found).all()
    assert hasty.score(fresh, 4) == pytest.approx(found.mean())
    # In chunks of which the last is padded as well, but for the steps of a solve.
    times, there = padded(fresh, END)
    monkeypatch.setattr(event_training, "MOST_AT_A_TIME", 3 * times.shape[1])
    monkeypatch.setattr(event_training, "_VALIDATION_DRAWS", 4)
    chunks = in_chunks(times, there)
    assert chunks[0].shape[:2] == (2, 3) and not chunks[1][1, 1:].any()
    np.testing.assert_allclose(hasty.score_samples(fresh, 4), found, rtol=1e-3)
    bound = event_training._validate(4, *chunks, hasty.model_)
    units = np.log(END) * np.mean([len(one) for one in fresh])
    assert float(bound) == pytest.approx(-found.mean() - units, rel=1e-3)


def test_rate_and_expected_number_are_means_of_courses(hasty):
    at, sequence = [2.0, 7.0, END], simulate(1, 3)[0]
    for given in (None, sequence):
        found = hasty.courses(at, given)
        assert found.rates.shape == found.expected.shape == (DRAWS, 3)
        np.testing.assert_allclose(found.rates.mean(axis=0), hasty.rate(at, given), rtol=1e-6)
        assert (np.diff(found.expected, axis=1) > 0).all()
    assert hasty.courses(at, draws=5).rates.shape == (5, 3)
    with pytest.raises(InputError, match=r"draws=0 must be a whole number"):
        hasty.courses(at, draws=0)


@pytest.fixture(scope="module")
def wild():
    """A model whose solves give up for some states and not for others."""
    model = EventIntensity(latent_size=2, hidden_size=8)
    model.end_, model.model_ = END, model._untrained(3.0)
    # Where a state is large, it goes up and down too fast.
    model.model_ = eqx.tree_at(lambda one: one.field, model.model_, Wild())
    return model


class Wild(eqx.Module):
    def __call__(self, t, z, args):
        return 1e4 * jax.nn.relu(z - 1.0) * jax.numpy.cos(1e4 * t)


def test_a_solve_that_gives_up_is_no_score(wild, monkeypatch):
    """With the last state in the place of what was not reached, the density would be too high."""
    fresh = [*simulate(3, 4), []]

    def encode(model, context):
        mean = jax.numpy.zeros((len(context.times), 2)).at[1].set(9.0)
        return mean, jax.numpy.full_like(mean, 0.1)

    monkeypatch.setattr(type(wild.model_), "encode", encode)
    with pytest.warns(UserWarning, match=r"density of 1 of 4 sequences.*number 1 \(counted from 0"):
        found = wild.score_samples(fresh, 3)
    assert np.isfinite(found).tolist() == [True, False, True, True]
    # A shared solve fails for all: training skips such a step, and no such epoch is the best.
    assert np.isnan(weighted_bounds(wild.model_, *padded(fresh, END), 3)).all()


def test_draws_that_give_up_are_left_out_of_a_rate(wild):
    with pytest.warns(UserWarning, match=r"of 32 draws of the rate are left out"):
        found = wild.courses([2.0, END])
    assert 10 < len(found.rates) < 32 and np.isfinite(found.rates).all()
    with pytest.warns(UserWarning, match="left out"):
        assert np.isfinite(wild.rate([2.0], None)).all()


def test_a_checkpoint_belongs_to_numbers_and_shapes(tmp_path):
    times, there = padded([[1, 2], [3, 4]], END)

    def name(times, **settings):
        return EventIntensity(**settings)._checkpoint(tmp_path, times, there, END).fingerprint

    assert name(times, hidden_size=np.int64(8)) == name(times, hidden_size=8)
    assert name(times, hidden_size=8) != name(times, hidden_size=9)
    assert name(times) != name(times.reshape(1, 4))


def stop_after(epoch):
    def stop(row):
        if row["epoch"] == epoch:
            raise KeyboardInterrupt

    return stop


def test_a_training_that_was_stopped_goes_on_to_the_same_bits(tmp_path):
    settings = {"latent_size": 2, "hidden_size": 4, "epochs": 4}
    sequences = simulate(20)
    whole = EventIntensity(**settings).fit(sequences, END)
    with pytest.raises(KeyboardInterrupt):
        EventIntensity(**settings).fit(sequences, END, checkpoint=tmp_path, progress=stop_after(2))
    seen = []
    again = EventIntensity(**settings).fit(
        sequences, END, checkpoint=tmp_path, resume=True, progress=seen.append
    )
    assert [row["epoch"] for row in seen] == [3, 4]
    for found, meant in zip(leaves(again), leaves(whole), strict=True):
        np.testing.assert_array_equal(found, meant)
    assert again.best_epoch_ == whole.best_epoch_
    with pytest.raises(InputError, match="belongs to other data or settings"):
        EventIntensity(**settings).fit(sequences[1:], END, checkpoint=tmp_path, resume=True)


def leaves(model):
    return jax.tree.leaves(eqx.filter(model.model_, eqx.is_array))


def test_a_fit_that_is_refused_leaves_the_model_of_before(hasty):
    found = hasty.expected([2.0])
    with pytest.raises(InputError, match="Sequence 1"):
        hasty.fit([[1], [50]], 2 * END)
    assert hasty.end_ == END
    np.testing.assert_array_equal(hasty.expected([2.0]), found)


def test_numbers_of_numpy_and_any_iterable_do(hasty, tmp_path):
    settings = hasty.get_params() | {"hidden_size": np.int64(8), "batch_size": np.int64(32)}
    again = EventIntensity(**settings).fit((one for one in simulate(20)), np.float32(END))
    np.testing.assert_array_equal(again.expected([2.0]), hasty.expected([2.0]))
    assert again.score([[1.0]], np.int64(2)) == hasty.score([[1.0]], 2)
    again.save(tmp_path)
    assert EventIntensity.load(tmp_path).get_params() == hasty.get_params()


def test_a_loaded_model_answers_the_same(hasty, tmp_path):
    hasty.save(tmp_path)
    again = EventIntensity.load(tmp_path)
    sequence, at = simulate(1, 3)[0], [2.0, 7.0]
    np.testing.assert_array_equal(again.rate(at, sequence), hasty.rate(at, sequence))
    np.testing.assert_array_equal(again.expected(at), hasty.expected(at))
    assert again.get_params() == hasty.get_params() and again.end_ == END
    assert again.history_ == hasty.history_ and again.best_epoch_ == hasty.best_epoch_


def test_a_model_that_does_not_fit_its_settings_is_refused(hasty, tmp_path):
    hasty.save(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    del config["config_sha256"]
    for wrong in (
        {"settings": config["settings"] | {"hidden_size": 9}},
        {"settings": config["settings"] | {"hidden_size": 0}},
        {"end": 0},
        {"end": "10"},
    ):
        (tmp_path / "config.json").write_text(json.dumps(config | wrong))
        with pytest.raises(InputError, match=r"is damaged: its config.json does not fit"):
            EventIntensity.load(tmp_path)
    with pytest.raises(InputError, match=r"read it by EventIntensity\.load"):
        LatentODEForecaster.load(tmp_path)
    with pytest.raises(InputError, match="not fitted"):
        EventIntensity().save(tmp_path)


@pytest.mark.slow
def test_the_encoder_knows_how_many_events_there_were():
    """At the same place, two differ from one; room that is not filled does not count."""
    model = EventIntensity(latent_size=2, hidden_size=8)
    model.end_, model.model_ = END, model._untrained(3.0)
    one, two, roomy = (
        model.model_.encode(asked(*padded([times], model.end_, room))[0])[0]
        for times, room in (([4.0], int), ([4.0, 4.0], int), ([4.0, 4.0], lambda count: 8))
    )
    assert np.abs(one - two).max() > 1e-3
    np.testing.assert_allclose(roomy, two, rtol=1e-5, atol=1e-6)
