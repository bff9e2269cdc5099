"""Made series that covariates drive: what a forecaster gains by them is known beforehand."""

from __future__ import annotations

import numpy as np
import pandas

DAYS, AHEAD, LAG, DECAY = 220, 20, 3, 0.4
ROLES = {"known": "plan", "past": "upstream", "static": ["kind", "size"]}
COLUMNS = {"time": "date", "series": "site", "target": ["level", "flow"]}
START = pandas.Timestamp("2022-01-03")


def driven_frame(
    seed: int = 0, kinds: tuple[str, ...] = ("rises", "falls") * 3
) -> pandas.DataFrame:
    """Series at irregular days.

    `level` relaxes and is pushed by `plan`, up or down as `kind` says; `flow` is what `upstream`
    was `LAG` days before; `size` says nothing. `plan` is given for `AHEAD` more days.
    """
    random = np.random.default_rng(seed)
    parts = []
    for index, kind in enumerate(kinds):
        days = np.arange(DAYS + AHEAD)
        plan = (random.random(len(days)) < 0.12).astype(float)
        upstream, level = np.zeros(len(days)), np.zeros(len(days))
        for day in days[1:]:
            upstream[day] = 0.9 * upstream[day - 1] + 0.44 * random.normal()
            # The integral of a straight line from one day to the next.
            push = 0.5 * (plan[day - 1] + plan[day])
            level[day] = np.exp(-DECAY) * level[day - 1] + push * (1 if kind == "rises" else -1)
        noise = 0.05 * random.normal(size=(2, len(days)))
        frame = pandas.DataFrame(
            {
                "date": START + pandas.to_timedelta(days, "D"),
                "site": f"site {index}",
                "level": 5 + 2 * level + noise[0],
                "flow": np.roll(upstream, LAG) + noise[1],
                "plan": plan,
                "upstream": upstream,
                "kind": kind,
                "size": float(index),
            }
        )
        unseen = (random.random(len(days)) < 0.3) | (days >= DAYS)
        frame.loc[unseen, ["level", "flow", "upstream"]] = np.nan
        parts.append(frame.iloc[LAG:])
    return pandas.concat(parts, ignore_index=True)
