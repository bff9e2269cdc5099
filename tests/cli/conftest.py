"""Small data, tiny settings, and one trained result that the tests of the command line share."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from isocline.cli import main

TINY = ["--epochs", "2", "--members", "1", "--hidden-size", "8", "--latent-size", "2"]


class Ended(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def document(self):
        return json.loads(self.out)


@pytest.fixture
def isocline(capfd) -> Callable[..., Ended]:
    """Runs a command line in this process."""

    def run(*arguments: object) -> Ended:
        capfd.readouterr()
        code = main([str(argument) for argument in arguments])
        captured = capfd.readouterr()
        return Ended(code, captured.out, captured.err)

    return run


# A child that may limit the size of the files it writes, and then is the command line.
_CHILD = """
import resource, signal, sys
from isocline.cli import main
size = sys.argv.pop(1)
if size:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(size), int(size)))
sys.exit(main())
"""


@pytest.fixture
def process(compiled) -> Callable[..., subprocess.Popen]:
    """Starts a command line as a process of its own, which ends with the test at the latest."""
    started = []

    def start(
        *arguments: object, file_size: int | None = None, cache: Path = compiled
    ) -> subprocess.Popen:
        child = subprocess.Popen(
            [sys.executable, "-c", _CHILD, str(file_size or ""), *map(str, arguments)],
            env=os.environ | {"JAX_COMPILATION_CACHE_DIR": str(cache)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(child)
        return child

    yield start
    for child in started:
        if child.poll() is None:
            child.kill()
        child.wait()


def small_rows(seed: int = 0, days: int = 900, rows: int = 100) -> list[tuple]:
    """Two seasonal series of two channels at random days, with cells missing."""
    random = np.random.default_rng(seed)
    table = []
    for name, shift in (("north", 0.0), ("south", 1.5)):
        for day in np.sort(random.choice(days, rows, replace=False)):
            angle = 2 * np.pi * day / 365.25
            level = 10 + 3 * np.sin(angle + shift) + 0.3 * random.normal()
            flow = 5 + np.cos(angle) + 0.2 * random.normal()
            cells = [f"{value:.3f}" for value in (level, flow)]
            missing = random.random(2) < (0.1, 0.3)
            cells = ["" if gone else cell for gone, cell in zip(missing, cells)]
            table.append((str(np.datetime64("2015-01-01") + int(day)), name, *cells))
    return table


def write_rows(path: Path, header: Sequence[str], rows: Sequence[Sequence[str]]) -> Path:
    separator = "\t" if path.suffix == ".tsv" else ","
    lines = [separator.join(map(str, row)) for row in (header, *rows)]
    path.write_text("\n".join(lines) + "\n", "utf-8")
    return path


HEADER = ("date", "station", "level", "flow")


@pytest.fixture(scope="session")
def small(tmp_path_factory) -> Path:
    """A small table with gaps, as CSV."""
    return write_rows(tmp_path_factory.mktemp("data") / "small.csv", HEADER, small_rows())


@pytest.fixture(scope="session")
def fitted(tmp_path_factory, small) -> Path:
    """A folder of results."""
    out = tmp_path_factory.mktemp("results") / "fitted"
    arguments = ["forecast", small, "--horizon", "60d", "--out", out, "--no-report", *TINY]
    assert main(list(map(str, arguments))) == 0
    return out
