"""`isocline reproduce` and `isocline bench`: the experiments of the library, by name."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Parameter

from isocline.errors import InputError

from .common import Talk
from .progress import progress_of
from .scores import plain_table

Kind = Literal["reproduce", "bench"]
Name = Annotated[str | None, Parameter(help="Which one; all are listed if not given.")]
Listed = Annotated[bool, Parameter(name="--list", help="List the names, and run nothing.")]
Quick = Annotated[
    bool, Parameter(help="A small version, to see that it runs; its numbers say little.")
]
Resume = Annotated[
    bool,
    Parameter(
        negative="--no-resume",
        help="Keep what an earlier run has done, and go on where it stopped.",
    ),
]
Out = Annotated[Path | None, Parameter(help="Folder for numbers and figures.")]


def reproduce(
    name: Name = None,
    /,
    *,
    listed: Listed = False,
    seeds: Annotated[int | None, Parameter(help="Repeat with so many seeds.")] = None,
    seed: Annotated[int | None, Parameter(help="The first of the seeds, or the only one.")] = None,
    resume: Resume = True,
    quick: Quick = False,
    out: Out = None,
    talk: Talk = Talk(),  # noqa: B008 - frozen
) -> None:
    """Run an experiment of a paper; see `commands.COMMANDS`."""
    options = {"out": out, "quick": quick, "seeds": seeds, "seed": seed, "resume": resume}
    _run("reproduce", None if listed else name, talk, **options)


def bench(
    name: Name = None,
    /,
    *,
    listed: Listed = False,
    quick: Quick = False,
    cases: Annotated[
        tuple[str, ...],
        Parameter(name="--case", help="Only this case (may be repeated); other results stay."),
    ] = (),
    out: Out = None,
    talk: Talk = Talk(),  # noqa: B008 - frozen
) -> None:
    """Run a benchmark; see `commands.COMMANDS`."""
    _run("bench", None if listed else name, talk, out=out, quick=quick, cases=cases)


def _run(kind: Kind, name: str | None, talk: Talk, **options: Any) -> None:
    from isocline.experiments import names, run

    known = names(kind=kind)
    if name is None:
        width = max(map(len, known), default=0)
        lines = [f"{key:{width}}  {summary}" for key, summary in known.items()]
        talk.result({kind: known}, *(lines or ["There are none yet."]))
        return
    if name not in known:
        from isocline.data.columns import did_you_mean

        raise InputError(
            f"There is no '{name}' to {kind}.{did_you_mean(name, known)} There are: "
            f"{', '.join(known) or 'none yet'}."
        )
    for option, least in (("seeds", 1), ("seed", 0)):
        value = options.get(option)
        if value is not None and value < least:
            raise InputError(f"--{option} {value} must be at least {least}.")
    with progress_of(quiet=talk.quiet) as progress:
        result = run(name, progress=progress, **options)
    talk.result(result, *_texts(result))


def _texts(result: dict[str, Any]) -> list[Any]:
    """A result for people: lists of rows become tables, all else a line each."""
    texts: list[Any] = []
    for name, value in result.items():
        if isinstance(value, list) and value and all(isinstance(row, dict) for row in value):
            texts += [f"{name}:", _table_of(value)]
        elif isinstance(value, dict):
            texts.append(f"{name}: " + ", ".join(f"{key} {_cell(v)}" for key, v in value.items()))
        else:
            texts.append(f"{name}: {_cell(value)}")
    return texts


def _table_of(rows: list[dict[str, Any]]) -> Any:
    titles = list(dict.fromkeys(key for row in rows for key in row))
    table = plain_table(*titles)
    for row in rows:
        table.add_row(*(_cell(row.get(title)) for title in titles))
    return table


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, (list, tuple)):
        return ", ".join(map(_cell, value))
    return "" if value is None else str(value)
