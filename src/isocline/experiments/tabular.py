"""Densities of real tables: flows by matching and by likelihood beside simpler densities.

A table that is neither at hand nor can be downloaded is left out, and said so.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from isocline.data.tables import TABLES, load_table
from isocline.errors import InputError
from isocline.train.checkpoint import write_bytes

from .flow_runs import learn, race
from .results import (
    answer_of,
    command_of,
    kept_run,
    markdown_table,
    run_name,
    versions,
    write_results,
)

MATCHING, LIKELIHOOD = "flow matching", "CNF, likelihood"
BOTH, ADAM = "flow matching, then likelihood", "CNF, likelihood, AdamW"
FLOWS: dict[str, tuple[str, dict[str, Any]]] = {
    "planar NF, K = 32": ("planar", {"layers": 32, "epochs": 60}),
    MATCHING: ("continuous", {"hidden_size": 128, "matching": 80, "likelihood": 0}),
    BOTH: ("continuous", {"hidden_size": 128, "matching": 80, "likelihood": 4}),
    LIKELIHOOD: ("continuous", {"hidden_size": 128, "matching": 0, "likelihood": 20}),
    ADAM: (
        "continuous",
        {
            "hidden_size": 128,
            "matching": 0,
            "likelihood": 20,
            "optimizer": "adamw",
            "learning_rate": 3e-3,
        },
    ),
}
COMPONENTS = (2, 4, 8, 16, 32)
NOTE = (
    "NLL in nats a row of the standardised test rows (a fifth of the table, mean and spread of the "
    "training rows); after the sign the standard error. Gaussian mixture: scikit-learn's, full "
    "covariances, its number of components chosen on the validation rows. A column whose values "
    "are rounded has noise of their rounding's width. Seconds: of a noisy machine."
)


@dataclass(frozen=True)
class Protocol:
    """What is run.

    Attributes:
        tables: names of `isocline.data.tables.TABLES`.
        flows: kind and settings by name.
        most: rows of a table, and columns, that are used.
        settings: of all flows.
    """

    tables: tuple[str, ...] = tuple(TABLES)
    flows: dict[str, tuple[str, dict[str, Any]]] = field(default_factory=lambda: FLOWS)
    most: tuple[int, int] = (20_000, 50)
    settings: dict[str, Any] = field(default_factory=lambda: {"accept": True, "patience": 10})


QUICK = Protocol(
    tables=("magic",),
    flows={
        "planar NF, K = 32": ("planar", {"layers": 4, "epochs": 2}),
        MATCHING: ("continuous", {"hidden_size": 16, "matching": 2, "likelihood": 0}),
    },
    most=(1000, 4),
)


def run(
    out: Path,
    *,
    quick: bool = False,
    seeds: Sequence[int] | None = None,
    progress: Callable[[dict[str, Any]], None] | None = None,
    protocol: Protocol | None = None,
) -> dict[str, Any]:
    """Fit everything to every table that is there; what is done is not done again."""
    protocol, seeds = protocol or (QUICK if quick else Protocol()), seeds or range(1)
    rows: list[dict[str, Any]] = []
    missing: list[str] = []
    results: dict[str, Any] = {}
    for seed in seeds:
        for table in protocol.tables:
            try:
                data = split(load_table(table), protocol, seed)
            except InputError as error:
                missing.append(f"{table}: {error}")
                continue
            shape = {"table": table, "rows": len(data["train"]), "columns": data["train"].shape[1]}
            rows += [shape | one for one in _simple(out, table, data, seed)]
            for name, (kind, settings) in protocol.flows.items():
                done = learn(
                    out,
                    run_name(table, name, seed),
                    kind,
                    protocol.settings | settings | {"seed": seed},
                    data,
                    progress=progress,
                )
                rows.append(shape | {"model": name, "seed": seed} | done)
                command = command_of("tabular", seeds, quick)
                results = _results(protocol, rows, missing, command)
                write_results(out, results, results["table"])
    if not rows:
        raise InputError(f"None of the tables is there. {missing[0]}")
    return answer_of(results, out)


def split(values: np.ndarray, protocol: Protocol, seed: int) -> dict[str, np.ndarray]:
    """Training and test rows, standardised by the training rows; constant columns are left out."""
    draw = np.random.default_rng(seed)
    values = values[draw.permutation(len(values))[: protocol.most[0]], : protocol.most[1]]
    values = np.unique(values, axis=0)
    values = _unrounded(values[draw.permutation(len(values))], draw)
    held = len(values) // 5
    test, train = values[:held], values[held:]
    mean, spread = train.mean(axis=0), train.std(axis=0)
    kept = spread > 1e-6 * np.abs(values).max(axis=0)
    return {
        name: ((part - mean)[:, kept] / spread[kept]).astype(np.float32)
        for name, part in (("train", train), ("test", test))
    }


def _unrounded(values: np.ndarray, draw: np.random.Generator) -> np.ndarray:
    """Columns of few levels get noise of their rounding's width."""
    values = values.astype(np.float64)
    for column in values.T:
        levels = np.unique(column)
        if 1 < len(levels) < len(column) / 5:
            width = np.quantile(np.diff(levels), 0.1)
            column += width * draw.uniform(-0.5, 0.5, len(column))
    return values


def _simple(out: Path, table: str, data: dict[str, np.ndarray], seed: int) -> list[dict[str, Any]]:
    """A normal distribution, and a mixture of them."""
    identity = json.dumps([seed, list(data["train"].shape), COMPONENTS])
    path = out / "runs" / f"{table}-simple-{seed}.json"
    if (done := kept_run(path, identity)) is not None:
        return done["found"]
    from scipy.stats import multivariate_normal

    train = data["train"].astype(np.float64)
    normal = multivariate_normal(train.mean(axis=0), np.cov(train, rowvar=False))  # pyright: ignore[reportArgumentType]
    found = [_scored("Gaussian", normal.logpdf(data["test"]), seed)]
    try:
        mixture = best_mixture(train, seed)
    except ImportError:
        pass
    else:
        name = f"Gaussian mixture, {mixture.n_components}"
        found.append(_scored(name, mixture.score_samples(data["test"]), seed))
    write_bytes(path, json.dumps({"identity": identity, "found": found}).encode())
    return found


def best_mixture(train: np.ndarray, seed: int) -> Any:
    """scikit-learn's mixture of as many components as suit the first tenth of the rows best."""
    from sklearn.mixture import GaussianMixture

    held = len(train) // 10
    best: tuple[float, Any] = (-np.inf, None)
    for count in COMPONENTS:
        mixture = GaussianMixture(count, random_state=seed, reg_covar=1e-5).fit(train[held:])
        best = max(best, (float(mixture.score(train[:held])), mixture), key=lambda one: one[0])
    return best[1]


def _scored(name: str, scores: np.ndarray, seed: int) -> dict[str, Any]:
    error = float(scores.std() / np.sqrt(len(scores)))
    return {"model": name, "seed": seed, "nll": -float(scores.mean()), "error": error}


def _results(
    protocol: Protocol, rows: list[dict[str, Any]], missing: list[str], command: str
) -> dict[str, Any]:
    cells = [
        (
            row["table"],
            f"{row['rows']} x {row['columns']}",
            row["model"],
            f"{row['nll']:.3f} ± {row['error']:.3f}",
            f"{row['nfe']:.0f}" if row.get("nfe") else None,
            f"{row['seconds']:.0f}" if "seconds" in row else None,
        )
        for row in rows
    ]
    table = markdown_table(["table", "rows", "model", "NLL", "NFE", "training, s"], cells)
    pairs = (LIKELIHOOD, MATCHING), (LIKELIHOOD, BOTH), (ADAM, MATCHING), (ADAM, LIKELIHOOD)
    races = [race(rows, "table", *pair) for pair in pairs]
    for speed in filter(None, races):
        table += "\n\n" + markdown_table(list(speed[0]), [tuple(one.values()) for one in speed])
    return {
        "command": command,
        "protocol": asdict(protocol),
        "note": " ".join([NOTE, *missing]),
        "versions": versions("equinox", "optax", "scikit-learn"),
        "summary": [
            {key: row.get(key) for key in ("table", "model", "nll", "error", "nfe", "seconds")}
            for row in rows
        ],
        "speed": races,
        "runs": rows,
        "table": table,
        "table_file": "table.md",
    }
