"""pyproject.toml names what the code imports, and CI tests with the oldest versions it allows."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
# Distributions whose module has another name, or that another one brings along.
MODULES = {"tomli-w": "tomli_w", "scikit-learn": "sklearn", "dm-control": "dm_control"}


def named(requirement: str) -> str:
    return re.split(r"[\[<>=!~; ]", requirement)[0]


def modules(requirements: list[str]) -> set[str]:
    return {MODULES.get(named(entry), named(entry)) for entry in requirements}


def imported() -> set[str]:
    """Top-level modules that the package imports anywhere, not counting the standard library."""
    found = set()
    for file in (ROOT / "src").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Import):
                found |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
                found.add(node.module.split(".")[0])
    return found - set(sys.stdlib_module_names) - {"isocline"}


def test_every_import_is_a_dependency_or_in_an_extra():
    optional = [entry for group in PROJECT["optional-dependencies"].values() for entry in group]
    # PyTorch comes with torchdiffeq; no version of it is asked for.
    known = modules(PROJECT["dependencies"]) | modules(optional) | {"torch", "jaxlib", "PIL"}
    assert imported() - known == set()


def test_every_dependency_is_imported():
    assert modules(PROJECT["dependencies"]) - imported() == set()


def test_extras_that_messages_name_exist():
    text = "".join(file.read_text() for file in (ROOT / "src").rglob("*.py"))
    named_in_code = set(re.findall(r"isocline\[(\w+)\]", text))
    assert named_in_code <= set(PROJECT["optional-dependencies"])


def test_lower_bounds_are_what_ci_installs():
    lines = (ROOT / ".ci" / "oldest.txt").read_text().splitlines()
    pins = dict(line.split("==") for line in lines if "==" in line and not line.startswith("#"))
    extras = PROJECT["optional-dependencies"]
    entries = [*PROJECT["dependencies"], *extras["tables"], *extras["plot"]]
    bounds = {entry.split(">=")[0]: entry.split(">=")[1] for entry in entries}
    wrong = {
        name: (bound, pins.get(name))
        for name, bound in bounds.items()
        if release(pins.get(name, "0")) != release(bound)
    }
    assert wrong == {}


def release(version: str) -> tuple[int, ...]:
    """The numbers of a version; `2.0` and `2.0.0` are one."""
    numbers = [int(number) for number in version.split(".")]
    return tuple(numbers + [0] * (4 - len(numbers)))


def test_changelog_and_citation_name_the_version():
    from isocline import __version__

    assert "## [Unreleased]" in (ROOT / "CHANGELOG.md").read_text()
    assert f"\nversion: {__version__}\n" in (ROOT / "CITATION.cff").read_text()


def test_package_data_is_there():
    from importlib.resources import files

    assert (files("isocline") / "py.typed").is_file()
    assert (files("isocline.data") / "files" / "sst.csv").is_file()
