"""The Python blocks of README and docs run, and their shell commands are ones that there are."""

from __future__ import annotations

import json
import os
import re
import shlex
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
# Programs of others that the documentation names; ours are looked up.
OTHERS = {"pip", "sphinx-build", "git", "cd"}


def blocks(page: Path, language: str) -> list[tuple[int, str]]:
    """Code blocks of a language, each with the number of its first line."""
    text = page.read_text()
    return [
        (text.count("\n", 0, found.start(2)), found[2])
        for found in BLOCK.finditer(text)
        if found[1] == language
    ]


def commands(page: Path) -> list[list[str]]:
    """Words of each shell command; a backslash joins lines."""
    lines = [
        line for _, block in blocks(page, "sh") for line in block.replace("\\\n", " ").splitlines()
    ]
    return [words for line in lines if (words := shlex.split(line, comments=True))]


def with_blocks(language: str):
    pages = [page for page in PAGES if blocks(page, language)]
    return pytest.mark.parametrize("page", pages, ids=lambda page: page.stem)


@with_blocks("python")
@pytest.mark.slow
def test_python_blocks_run_from_top_to_bottom(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {"__name__": "__main__"}
    for line, block in blocks(page, "python"):
        # As many lines in front as there are on the page, so that a traceback names the right one.
        exec(compile("\n" * line + block, page, "exec"), names)


@with_blocks("sh")
def test_shell_commands_are_ones_that_there_are(page):
    for words in commands(page):
        program, *arguments = words
        if program in ("isocline", "./run"):
            parses(arguments)
        elif program not in OTHERS:
            assert os.access(ROOT / program, os.X_OK), f"there is no {program}"


def parses(arguments: list[str]) -> None:
    """Whether the command line knows a command and all its options; nothing is run."""
    from isocline.cli.app import make_app

    make_app().parse_args(arguments, print_error=False, exit_on_error=False)


@pytest.mark.parametrize("wrong", ["forcast", "forecast --horizont 90d", "predict"])
def test_a_wrong_command_is_found(wrong):
    from cyclopts import CycloptsError

    with pytest.raises(CycloptsError):
        parses(wrong.split())


def test_pages_have_blocks():
    """The pattern above finds what there is to find."""
    assert sum(len(blocks(page, "python")) for page in PAGES) >= 10
    assert sum(len(commands(page)) for page in PAGES) >= 10


def test_numbers_of_the_readme_are_those_of_the_results():
    """Its table is that of results/forecasts, with fewer digits."""
    results = json.loads((ROOT / "results" / "forecasts" / "results.json").read_text())
    names = {"linear regression": "linear", "GRU with time differences": "gru"}
    names |= {"climatology": "climatology", "seasonal naive": "seasonal_naive"}
    rows = {row["model"]: row for row in results["summary"]}
    lines = [line for line in PAGES[0].read_text().splitlines() if line.startswith("| ")]
    shown = [[cell.strip(" *") for cell in line.strip("|").split("|")] for line in lines[1:]]
    assert len(shown) == len(rows)
    for name, error, score, inside in shown:
        row = rows[names.get(name, name)]
        assert (error, score) == (f"{row['rmse']:.2f}", f"{row['crps']:.2f}")
        assert inside == f"{100 * row['coverage_90']:.0f} %"
