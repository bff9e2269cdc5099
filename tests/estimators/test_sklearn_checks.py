"""scikit-learn's own checks of estimators."""

from __future__ import annotations

import pytest

from isocline.estimators import ContinuousFlow, NormalizingFlow

sklearn_checks = pytest.importorskip("sklearn.utils.estimator_checks")

TINY = [
    ContinuousFlow(hidden_size=4, matching=1, likelihood=0, batch_size=16),
    NormalizingFlow(layers=2, epochs=1, batch_size=16),
]
NOT_FOR_DENSITIES: dict[str, str] = {}


@pytest.mark.slow
@sklearn_checks.parametrize_with_checks(
    TINY, expected_failed_checks=lambda estimator: NOT_FOR_DENSITIES
)
def test_sklearn_checks(estimator, check):
    check(estimator)
