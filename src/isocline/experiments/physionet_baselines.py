"""What costs nothing: values carried on, and scikit-learn on summaries of each stay."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float

from isocline.models import Context

from .physionet_tracks import Rows


def simple_means(context: Context, times: np.ndarray) -> dict[str, Float[np.ndarray, "..."]]:
    """Predictions from what was read, all scaled: of a channel that was not read, its mean 0."""
    values, mask = np.asarray(context.values), np.asarray(context.mask)
    count = mask.sum(axis=1, keepdims=True)
    own = values.sum(axis=1, keepdims=True) / np.maximum(count, 1)
    own = np.broadcast_to(own, (len(values), times.shape[1], values.shape[2]))
    own_times = np.asarray(context.times)[:, :, None]
    before, after = (_carried(values, own_times, mask, step) for step in (1, -1))
    last = np.where(np.isnan(before[0]), after[0], before[0])
    gap = np.stack([times[:, :, None] - before[1], after[1] - times[:, :, None]])
    with np.errstate(invalid="ignore", divide="ignore"):
        part = np.where(gap.sum(axis=0) > 0, gap[0] / gap.sum(axis=0), 0.5)
        line = before[0] + part * (after[0] - before[0])
    line = np.where(np.isnan(before[0]), after[0], np.where(np.isnan(after[0]), before[0], line))
    found = {
        "training mean": np.zeros_like(own),
        "patient's mean": own,
        "last value": last,
        "straight line": line,
    }
    return {name: np.where(np.isnan(mean), own, mean) for name, mean in found.items()}


def _carried(
    values: np.ndarray, times: np.ndarray, mask: np.ndarray, step: int
) -> tuple[np.ndarray, np.ndarray]:
    """The values that were read before (step 1) or after (-1) each row, and their times; or NaN."""
    rows = np.arange(values.shape[1])[:, None]
    if step == 1:
        place = np.maximum.accumulate(np.where(mask, rows, -1), axis=1)
    else:
        far = np.where(mask, rows, len(rows))[:, ::-1]
        place = np.minimum.accumulate(far, axis=1)[:, ::-1]
    known = (place >= 0) & (place < len(rows))
    place = np.clip(place, 0, len(rows) - 1)
    found = np.where(known, np.take_along_axis(values, place, axis=1), np.nan)
    when = np.broadcast_to(times, values.shape)
    return found, np.where(known, np.take_along_axis(when, place, axis=1), np.nan)


def summaries(rows: Rows) -> Float[np.ndarray, "stays features"]:
    """Of each channel: first, last, mean, least, largest, spread, trend and count; or NaN."""
    mask = np.asarray(rows.mask)
    values = np.where(mask, np.asarray(rows.values), np.nan)
    times = np.where(mask, np.asarray(rows.times)[:, :, None], np.nan)
    before, after = (
        _carried(np.nan_to_num(values), np.nan_to_num(times), mask, step)[0] for step in (1, -1)
    )
    count = mask.sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.nansum(values, axis=1) / count
        apart = np.nan_to_num(values - mean[:, None])
        when = np.nan_to_num(times - (np.nansum(times, axis=1) / count)[:, None])
        spread = np.sqrt((apart**2).sum(axis=1) / count)
        trend = (apart * when).sum(axis=1) / np.maximum((when**2).sum(axis=1), 1e-4)
    least = np.where(count > 0, np.where(mask, values, np.inf).min(axis=1), np.nan)
    largest = np.where(count > 0, np.where(mask, values, -np.inf).max(axis=1), np.nan)
    parts = (after[:, 0], before[:, -1], mean, least, largest, spread, trend, count)
    return np.concatenate(parts, axis=1)


def classifiers(rows: Rows, parts: dict[str, np.ndarray], seed: int) -> dict[str, float]:
    """Test AUC of logistic regression and boosted trees; none without scikit-learn.

    The penalty, and the number and rate of trees, are chosen on the validation stays.
    """
    try:
        from sklearn.ensemble import HistGradientBoostingClassifier
        from sklearn.impute import SimpleImputer
        from sklearn.linear_model import LogisticRegression
        from sklearn.metrics import roc_auc_score
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler
    except ImportError:
        return {}
    features, died = summaries(rows), np.asarray(rows.died)
    # A feature that no training stay has would stop the trees.
    features = features[:, ~np.isnan(features[parts["train"]]).all(axis=0)]
    linear = [
        make_pipeline(
            SimpleImputer(keep_empty_features=True),
            StandardScaler(),
            LogisticRegression(C=penalty, max_iter=1000),
        )
        for penalty in (1e-4, 3e-4, 1e-3, 3e-3, 1e-2)
    ]
    plain = {"max_leaf_nodes": 8, "l2_regularization": 1.0, "early_stopping": False}
    trees = [
        HistGradientBoostingClassifier(
            learning_rate=rate, max_iter=count, random_state=seed, **plain
        )
        for rate, count in ((0.03, 150), (0.03, 300), (0.1, 100))
    ]

    def score(model: Any, part: str) -> float:
        chosen = parts[part]
        return float(roc_auc_score(died[chosen], model.predict_proba(features[chosen])[:, 1]))

    found = {}
    for name, models in (("logistic regression", linear), ("boosted trees", trees)):
        for model in models:
            model.fit(features[parts["train"]], died[parts["train"]])
        best = max(models, key=lambda model: score(model, "validation"))
        found[name] = score(best, "test")
    return found
