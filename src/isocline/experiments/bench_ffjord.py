"""Training a continuous flow beside FFJORD's public recipe, on two circles and on a real table.

FFJORD learns by likelihood for some time. Then `ContinuousFlow` learns from the same rows, by flow
matching and by likelihood, and the time counts that it takes until the same held-out rows are as
likely as FFJORD has made them at best.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from isocline.data import plane_density
from isocline.data.tables import load_table
from isocline.errors import InputError
from isocline.estimators import ContinuousFlow
from isocline.estimators.density_training import MOST_VALIDATED
from isocline.estimators.learning import held_out

from . import tabular
from .bench.torch_ffjord import TOY, Recipe, Trainer, for_table, make_trainer, on_faster_threads
from .flow_runs import clock, compiling, time_to
from .results import answer_of, markdown_table, silent, versions, write_results

CIRCLES = "circles"
FLOWS = {
    "matching": {"matching": 80, "likelihood": 0},
    "likelihood": {"matching": 0, "likelihood": 8},
}
NOTE = (
    "Rows without correlation, the same for all; NLL in nats a row, of tables in standardised "
    "columns. Theirs is FFJORD's network and training, written anew on torchdiffeq, for "
    "{seconds:g} s of training on the faster of one and of all cores, looked at {looks} times, "
    "which does not count. Ours are ContinuousFlow at defaults but for the epochs and {hidden} "
    "units for tables, looked at once an epoch, which counts; compiling is apart. Seconds until "
    "the held-out rows were as likely as they became with theirs; speed-up is theirs to ours, and "
    "beside it what it was when theirs had had half of the time. Test NLL: of the best weights "
    "on the held-out rows. One seed."
)


@dataclass(frozen=True)
class Protocol:
    """What is run.

    Attributes:
        cases: "circles", and tables of `isocline.data.tables.TABLES`.
        seconds: of training that theirs is given, and how often it is looked at in that time.
        rows: of the circles, and at most of a table.
        hidden: units of ours, of tables.
        flows: settings of ours by name.
    """

    cases: tuple[str, ...] = (CIRCLES, "magic")
    seconds: float = 200.0
    looks: int = 40
    rows: int = 20_000
    hidden: int = 128
    flows: dict[str, dict[str, Any]] = field(default_factory=lambda: FLOWS)


QUICK = Protocol(
    cases=(CIRCLES,),
    seconds=1.0,
    looks=1,
    rows=600,
    flows={"matching": {"matching": 2, "likelihood": 0, "hidden_size": 8}},
)


class Rows(NamedTuple):
    """Points of a case, standardised as `ContinuousFlow` does it.

    Attributes:
        columns: those of the test before that.
        change: what a negative log-likelihood of these points is above that of the columns.
    """

    learnt: np.ndarray
    held: np.ndarray
    test: np.ndarray
    columns: np.ndarray
    change: float


def run(
    out: Path,
    *,
    quick: bool = False,
    seeds: Sequence[int] | None = None,  # noqa: ARG001 - all experiments are called alike
    progress: Callable[[dict[str, Any]], None] | None = None,
    protocol: Protocol | None = None,
) -> dict[str, Any]:
    """Train theirs and ours on every case that can be had."""
    protocol, say = protocol or (QUICK if quick else Protocol()), progress or silent
    rows: list[dict[str, Any]] = []
    missing: list[str] = []
    if find_spec("torchdiffeq") is None:
        missing.append("Without torchdiffeq: pip install 'isocline[peers]' for the comparison.")
    for case in protocol.cases:
        try:
            data = _data(case, protocol)
        except InputError as error:
            missing.append(f"{case}: {error}")
            continue
        rows += _run_case(case, data, protocol, say)
        results = _results(protocol, rows, missing, quick)
        write_results(out, results, results["table"])
    if not rows:
        raise InputError(f"None of the tables is there. {missing[0]}")
    return answer_of(_results(protocol, rows, missing, quick), out)


def _data(case: str, protocol: Protocol) -> dict[str, np.ndarray]:
    """Rows to learn from, and others to test with."""
    if case != CIRCLES:
        most = protocol.rows, tabular.Protocol().most[1]
        return tabular.split(load_table(case), tabular.Protocol(most=most), 0)
    draw = np.random.default_rng(0)
    found = plane_density(CIRCLES).sample(protocol.rows, draw).astype(np.float32)
    return {"train": found[len(found) // 5 :], "test": found[: len(found) // 5]}


def _run_case(
    case: str, data: dict[str, np.ndarray], protocol: Protocol, say: Callable[[dict], None]
) -> list[dict[str, Any]]:
    """Ours, and theirs on the rows as ours standardises them; theirs is the first row."""
    common: dict[str, Any] = {"accept": True, "patience": None}
    if case != CIRCLES:
        common["hidden_size"] = protocol.hidden
    models: dict[str, ContinuousFlow] = {}
    for name, settings in protocol.flows.items():
        # A process that goes on compiling runs out of memory maps.
        jax.clear_caches()
        models[name] = ContinuousFlow(**(common | settings))
        models[name].fit(data["train"], progress=lambda row, name=name: say(row | {"run": name}))
    rows = _standardised(data, next(iter(models.values())))
    theirs = None
    if find_spec("torchdiffeq") is not None:
        recipe = TOY if case == CIRCLES else for_table(rows.learnt.shape[1])
        theirs = _theirs(recipe, rows, protocol, say)
    found = [] if theirs is None else [theirs]
    found += [_ours(name, model, rows, theirs) for name, model in models.items()]
    return [{"case": case, "learnt": len(rows.learnt)} | row for row in found]


def _standardised(data: dict[str, np.ndarray], model: ContinuousFlow) -> Rows:
    """What the model has learnt from, and the rows that it held out."""
    y, change = model.scaling_.points(data["train"])
    test, _ = model.scaling_.points(data["test"])
    learnt, held = held_out(len(y), model.validation, model.seed)
    return Rows(
        learnt=y[learnt].astype(np.float32),
        held=y[held[:MOST_VALIDATED]].astype(np.float32),
        test=test.astype(np.float32),
        columns=data["test"],
        change=float(change[0]),
    )


def _theirs(
    recipe: Recipe, rows: Rows, protocol: Protocol, say: Callable[[dict], None]
) -> dict[str, Any]:
    """Train for the time that it is given."""
    size = rows.learnt.shape[1]
    batch, draw = min(recipe.batch, len(rows.learnt)), np.random.default_rng(0)

    def steps(trainer: Trainer, count: int) -> float:
        began = time.perf_counter()
        for _ in range(count):
            trainer.step(rows.learnt[draw.choice(len(rows.learnt), batch, replace=False)])
        return time.perf_counter() - began

    # The steps of that choice do not count: once more from the start.
    threads = on_faster_threads(partial(steps, make_trainer(recipe, size)))
    trainer, done, seconds, course = make_trainer(recipe, size), 0, 0.0, []
    while seconds < protocol.seconds:
        until = protocol.seconds * (len(course) + 1) / protocol.looks
        while seconds < until:
            seconds += steps(trainer, 1)
            done += 1
        found = -float(trainer.log_prob(rows.held).mean())
        if all(found < before for _, before in course):
            trainer.keep()
        course.append((seconds, found))
        say({"stage": "FFJORD", "epoch": done, "validation": found, "run": "FFJORD"})
    trainer.recall()
    half = [look for look in course if look[0] <= protocol.seconds / 2] or course[:1]
    marks = [min(looks, key=lambda look: look[1]) for looks in (half, course)]
    return {
        "model": "FFJORD, torchdiffeq",
        "parameters": trainer.parameters,
        "iterations": done,
        "threads": threads,
        "marks": marks,
        "nll": marks[1][1] - rows.change,
        "until": marks[1][0],
        "speedup": [1.0, 1.0],
        "compiling": None,
        "test": -float(trainer.log_prob(rows.test).mean()) - rows.change,
        "seconds": seconds,
        "course": course,
    }


def _ours(
    name: str, model: ContinuousFlow, rows: Rows, theirs: dict[str, Any] | None
) -> dict[str, Any]:
    """When it was as good as theirs became, and what became of it."""
    marks = [] if theirs is None else theirs["marks"]
    met = [(mark, time_to(model.history_, goal)) for mark, goal in marks]
    seconds = clock(model.history_)
    best = min(row["validation"] for row in model.history_)
    return {
        "model": f"ContinuousFlow by {name}",
        "parameters": model.n_parameters_,
        "nll": best - rows.change,
        "until": met[1][1] if met else None,
        "speedup": [None if until is None else mark / until for mark, until in met],
        "compiling": compiling(model.history_),
        "test": -model.score(rows.columns),
        "seconds": seconds[-1],
        "course": [(at, row["validation"]) for at, row in zip(seconds, model.history_)],
    }


def _results(
    protocol: Protocol, rows: list[dict[str, Any]], missing: list[str], quick: bool
) -> dict[str, Any]:
    note = NOTE.format(seconds=protocol.seconds, looks=protocol.looks, hidden=protocol.hidden)
    return {
        "command": "isocline bench ffjord" + " --quick" * quick,
        "protocol": asdict(protocol),
        "note": " ".join([note, *missing]),
        "versions": versions("jaxlib", "equinox", "torch", "torchdiffeq"),
        "summary": [{k: v for k, v in row.items() if k != "course"} for row in rows],
        "runs": rows,
        "table": _table_of(rows),
        "table_file": "table.md",
    }


def _table_of(rows: list[dict[str, Any]]) -> str:
    titles = ["case", "model", "parameters", "s until as good", "speed-up", "at half the time"]
    titles += ["compiling, s", "NLL held out, best", "NLL test", "s of training"]
    compared = any(row["speedup"] for row in rows)
    return markdown_table(titles, [_cells(row, compared) for row in rows])


def _cells(row: dict[str, Any], compared: bool) -> list[str | None]:
    half, whole = row["speedup"] or (None, None)
    until = f"{row['until']:.1f}" if row["until"] is not None else "never" if compared else None
    return [
        *(str(row[name]) for name in ("case", "model", "parameters")),
        until,
        *(None if ratio is None else f"{ratio:.0f}" for ratio in (whole, half)),
        None if row["compiling"] is None else f"{row['compiling']:.1f}",
        *(f"{row[name]:.3f}" for name in ("nll", "test")),
        f"{row['seconds']:.0f}",
    ]
