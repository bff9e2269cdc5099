"""The page about events: their rate over time, their numbers, and how well both foretell."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.ticker import MaxNLocator
from scipy.stats import poisson
from scipy.stats import t as student

from .axes import WIDE, Size, drawn, label_bottom, new_axes, value_axis
from .diagnostics import training_panels
from .rendering import rendered
from .svg import ROLES, Panel
from .words import MISSING, count, finite, name_of, number

_MOST_CELLS, _MOST_BARS, _MOST_LISTED = 48, 40, 10
_EVENTS_A_CELL = 20  # of the histogram of times, so that its noise is seen through
_SPANS = ("days", "hours", "minutes", "seconds")  # units of dates
_SURE = 0.975  # quantile, beyond which a difference is one in either direction


def events_page(
    *,
    names: Sequence[str],
    sequences: Sequence[np.ndarray],
    times: np.ndarray,
    courses: Any,
    scores: np.ndarray,
    beside: np.ndarray,
    history: Sequence[dict[str, Any]],
    metrics: dict[str, Any],
    titles: Mapping[str, str],
    notes: Sequence[str],
    command: str,
) -> str:
    """One HTML page about events. It needs nothing else: no network, scripts or other files.

    Args:
        names: of the sequences.
        sequences: the times of the events of each.
        times: at which the rate is known.
        courses: rates and expected numbers of events that a sequence may have, one row a draw.
        scores: the log density of each sequence.
        beside: that by the Poisson process with a rate of each and the common course.
        history: of training.
        metrics: as in metrics.json.
        titles: what the baselines are called.
        notes: what was guessed, and left out.
        command: that made the page.
    """
    data = metrics["data"]
    parts = {
        "title": f"Events of {name_of(data['source'])}",
        "verdict": verdict(metrics, titles),
        "rate": _rate(sequences, times, courses.rates, data),
        "numbers": _numbers([len(one) for one in sequences], courses.expected[:, -1], metrics),
        "scores": _scores(metrics, titles),
        "draws": metrics["draws"],
        "least": _least(names, sequences, scores, beside),
        "process": titles["own_course"],
        "training": training_panels(history, metrics["best_epoch"]),
        "notes": notes,
        "facts_of_run": _facts(metrics),
        "command": command,
    }
    return rendered("events.html", parts)


def verdict(metrics: dict[str, Any], titles: Mapping[str, str]) -> dict[str, str]:
    """How the model stands on the test sequences against the best baseline: tone and sentences."""
    known = {name: row for name, row in metrics["baselines"].items() if finite(row["log_density"])}
    model = metrics["model"]["log_density"]
    if not (known and finite(model)):
        text = "The log density of a sequence kept apart can not be computed: see the notes below."
        return {"tone": "unknown", "text": text}
    best = max(known, key=lambda name: known[name]["log_density"])
    ahead, error = known[best]["behind"], known[best]["behind_error"]
    tested = metrics["data"]["tested"]
    text = (
        f"On {count(tested, 'sequence')} kept apart, the model has a log density of "
        f"{number(model, 4)} nats a sequence; the best of {len(known)} simple Poisson processes, "
        f"“{titles[best]}”, has {number(known[best]['log_density'], 4)}. The model is "
        f"{'ahead' if ahead >= 0 else 'behind'} by {number(abs(ahead))}"
    )
    if not finite(error):
        return {"tone": "unknown", "text": f"{text}; one sequence alone says little."}
    text += f" ± {number(error, 2)}"
    if abs(ahead) < student.ppf(_SURE, tested - 1) * error:
        tone, more = "same", ", which can not be told from chance"
    else:
        tone, more = ("better", "") if ahead > 0 else ("worse", ": that process foretells better")
    return {"tone": tone, "text": f"{text}{more}."}


def _rate(
    sequences: Sequence[np.ndarray], times: np.ndarray, rates: np.ndarray, data: dict[str, Any]
) -> Panel:
    """Mean and band of the rate, above a histogram of all events."""
    together = np.concatenate([np.empty(0), *sequences])
    cells = _cells(len(together), data["end"])
    heights, edges = np.histogram(together, cells, (0, data["end"]))
    heights = heights / (len(sequences) * np.diff(edges))
    low, high = np.quantile(rates, (0.05, 0.95), axis=0)
    unit = name_of(data["unit"])

    def draw(size: Size) -> Any:
        axes = new_axes(size, ROLES)
        axes.stairs(heights, edges, color=ROLES["ink"], linewidth=1.2, alpha=0.8)
        axes.fill_between(times, low, high, color=ROLES["model"], alpha=0.2, linewidth=0)
        axes.plot(times, rates.mean(axis=0), color=ROLES["model"], linewidth=1.8, zorder=4)
        value_axis(axes, np.concatenate([heights, low, high, [0.0]]))
        axes.set_ylim(bottom=0)
        axes.set_xlim(0, data["end"])
        label_bottom(axes, _since(data))
        return axes

    title = f"Events per {unit[:-1] if unit in _SPANS else 'unit of ' + unit}"
    mean = rates.mean(axis=0)
    label = f"{title}, between {number(float(mean.min()))} and {number(float(mean.max()))}."
    return Panel(title, drawn(draw, (WIDE, Size()), "rate", label))


def _cells(events: int, end: float) -> int:
    """Of the histogram of times: whole hours of a day, where they can be, or parts of them."""
    most = int(np.clip(events // _EVENTS_A_CELL, 4, _MOST_CELLS))
    if end != round(end):
        return most
    if end <= most:
        return int(end) * (most // int(end))
    whole = max(cells for cells in range(1, most + 1) if round(end) % cells == 0)
    return whole if 2 * whole >= most else most


def _since(data: dict[str, Any]) -> str:
    began = "period began" if data["kind"] == "period" else "series began"
    return f"{name_of(data['unit'])} since the {began}"


def _numbers(counts: Sequence[int], expected: np.ndarray, metrics: dict[str, Any]) -> Panel:
    """How many sequences have so many events, and how many the model would have."""
    most = max(int(poisson.ppf(0.999, expected.max())), *counts)
    least = min(int(poisson.ppf(0.001, expected.min())), *counts)
    step = max(-(-(most - least + 1) // _MOST_BARS), 1)
    edges = np.arange(least, most + step + 1, step) - 0.5
    observed = np.histogram(counts, edges)[0] / len(counts)
    below = poisson.cdf(edges[:, None], expected).mean(axis=1)
    chances = np.diff(below)

    def draw(size: Size) -> Any:
        axes = new_axes(size, ROLES)
        axes.stairs(observed, edges, color=ROLES["ink"], linewidth=1.4)
        axes.stairs(chances, edges, color=ROLES["model"], linewidth=1.8)
        value_axis(axes, np.concatenate([observed, chances, [0.0]]), most=4)
        axes.set_ylim(bottom=0)
        axes.set_xlim(edges[0], edges[-1])
        label_bottom(axes, "events of a sequence")
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        return axes

    note = (
        f"Observed {number(float(np.mean(counts)))} on average, the model expects "
        f"{number(metrics['expected'])}."
    )
    title = "Share of sequences with so many events"
    return Panel(title, drawn(draw, (Size(),), "numbers", f"{title}. {note}"), note=note)


def _scores(metrics: dict[str, Any], titles: Mapping[str, str]) -> list[dict[str, Any]]:
    """Model and baselines, best first."""
    rows = [{"name": "Latent ODE", "model": True, **metrics["model"], "behind": None}]
    for name, title in titles.items():
        row = metrics["baselines"][name]
        cells = f", {count(row['cells'], 'cell')}" if "course" in name else ""
        rows.append({"model": False, **row, "name": title + cells})
    best = max((row["log_density"] for row in rows if finite(row["log_density"])), default=None)
    return [
        {
            "name": row["name"],
            "model": row["model"],
            "best": row["log_density"] == best,
            "score": _pair(row["log_density"], row["error"], 4),
            "behind": MISSING if row["model"] else _pair(row["behind"], row["behind_error"], 3),
        }
        for row in sorted(rows, key=lambda row: -(row["log_density"] or -np.inf))
    ]


def _pair(value: Any, error: Any, digits: int) -> str:
    return number(value, digits) + (f" ± {number(error, 2)}" if finite(error) else "")


def _least(
    names: Sequence[str],
    sequences: Sequence[np.ndarray],
    scores: np.ndarray,
    beside: np.ndarray,
) -> list[tuple[str, ...]]:
    """Where the model is behind a Poisson process most: name, events, log density, and by what."""
    behind = beside - scores
    return [
        (
            name_of(str(names[place])),
            f"{len(sequences[place]):,}",
            number(float(scores[place]), 4),
            number(float(behind[place])),
        )
        for place in np.argsort(-behind)[:_MOST_LISTED]
        if behind[place] > 0
    ]


def _facts(metrics: dict[str, Any]) -> list[tuple[str, str]]:
    data = metrics["data"]
    return [
        ("Data", f"{data['source']}, {count(data['events'], 'event')}"),
        ("Sequences", f"{data['sequences']:,}, {data['tested']:,} of them kept for the scores"),
        ("Watched", f"from 0 to {data['end']:g} {name_of(data['unit'])}"),
        ("Parameters", f"{metrics['parameters']:,}"),
        ("Training", f"{number(metrics['training_seconds'])} s"),
        ("Seed", str(metrics["settings"]["seed"])),
    ]
