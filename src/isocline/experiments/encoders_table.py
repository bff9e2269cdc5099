"""The tables of the encoders: an error and its spread for each encoder and set of data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from .fitting import TITLES, model_row
from .results import markdown_table

SPIRALS = "spirals"
BASELINES = ("persistence", "seasonal_naive", "climatology", "gru")
# By row and set: of each seed what `fit_and_score` or the spirals' experiment says.
Runs = dict[tuple[str, str], list[dict[str, Any]]]


def tables(
    runs: Runs,
    titles: Mapping[str, str],
    encoders: Sequence[str],
    helps: tuple[str, Sequence[str]],
) -> tuple[list[dict[str, Any]], str]:
    """A summary, a row a model; and tables of RMSE, CRPS and seconds, then one of what helps.

    Args:
        runs: what is done.
        titles: of the sets; those without a run have no column.
        encoders: rows, before those of the baselines.
        helps: an encoder, and changes of its settings on the first set.
    """
    shown = {data: title for data, title in titles.items() if any(data == one for _, one in runs)}
    rows = [*encoders, *BASELINES]
    parts = []
    for score, title in (("rmse", "RMSE"), ("crps", "CRPS"), ("seconds", "seconds to fit")):
        found = _scores(runs, score)
        cells = [(row, *(_cell(found.get((row, data)), score) for data in shown)) for row in rows]
        parts.append(
            markdown_table([title, *shown.values()], [line for line in cells if any(line[1:])])
        )
    errors = _scores(runs, "rmse")
    summary = [
        {"model": row} | {data: _cell(errors.get((row, data)), "rmse") for data in shown}
        for row in rows
    ]
    return summary, "\n\n".join([*parts, *_helps(runs, titles, *helps)])


def _helps(runs: Runs, titles: Mapping[str, str], helped: str, changes: Sequence[str]) -> list[str]:
    """The table of what helps an encoder on the first set, if anything was tried."""
    first = next(iter(titles))
    rows = [helped, *(f"{helped}, {change}" for change in changes)] if changes else []
    lines = [model_row(row, runs[row, first]) for row in rows if (row, first) in runs]
    names = [titles[first], *list(TITLES.values())[1:]]
    return [markdown_table(names, [tuple(line.values()) for line in lines])] if lines else []


def _scores(runs: Runs, score: str) -> dict[tuple[str, str], list[float]]:
    """A score of every seed by row and set; the baselines are beside the first encoder's."""
    found: dict[tuple[str, str], list[float]] = {}
    for (row, data), done in runs.items():
        for one in done:
            own = one if score == "seconds" or data == SPIRALS else one["scores"]
            others = {} if score == "seconds" else one.get("baselines", {})
            for name, scores in {row: own, **others}.items():
                if score in scores:
                    found.setdefault((name, data), []).append(float(scores[score]))
    return found


def _cell(values: list[float] | None, score: str) -> str | None:
    """The mean and the spread over the seeds; of seconds, the median."""
    if not values:
        return None
    if score == "seconds":
        return f"{np.median(values):.0f}"
    spread = f" ± {np.std(values):.3f}" if len(values) > 1 else ""
    return f"{np.mean(values):.3f}{spread}"
