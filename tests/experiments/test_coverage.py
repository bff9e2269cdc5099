"""How far the coverage of one test part may be off by chance."""

from __future__ import annotations

import numpy as np
import pytest

from isocline.experiments import coverage


@pytest.mark.parametrize("memory", [0.5, 1.0])
def test_a_forecast_by_the_process_itself_holds_nine_in_ten(memory):
    found = coverage.coverages(3, 150, memory, 400, np.random.default_rng(1))
    error = found.std() / np.sqrt(len(found))
    assert error < 0.006 and abs(found.mean() - 0.9) < 4 * error


def test_many_series_say_more_than_one_and_a_walk_less_than_what_forgets():
    held = {
        case: np.std(coverage.coverages(*case, 200, np.random.default_rng(0)))
        for case in ((1, 150, 0.5), (1, 150, 1.0), (5, 150, 0.5))
    }
    assert held[5, 150, 0.5] < held[1, 150, 0.5] < held[1, 150, 1.0]


def test_it_leaves_a_table_and_draws_what_its_seed_says(tmp_path):
    first, second, third = (
        coverage.run(tmp_path, quick=True, seeds=[seed])["summary"] for seed in (0, 0, 1)
    )
    assert first == second != third
    assert (tmp_path / "table.md").read_text().count("\n") == 2 + len(first)
