"""The engine's tools as commands, on a problem in a file; what is wrong with a file is told."""

from __future__ import annotations

import json

import pytest

PROBLEM = """
import jax.numpy as jnp

MATRIX = jnp.array([[0.0, 1.0], [-1.0, 0.0]])
y0 = jnp.array([1.0, 0.0])
ts = jnp.array([0.0, 1.0])
args = 2.0
options = {"method": "heun", "rtol": 1e-2}


def f(t, y, scale):
    return scale * (MATRIX @ y)


def other():
    return {"f": lambda t, y: y + jnp.sqrt(y * 0), "y0": y0, "ts": ts, "options": options}
"""


@pytest.fixture
def problem(tmp_path):
    file = tmp_path / "problem.py"
    file.write_text(PROBLEM)
    return file


@pytest.mark.slow
def test_check_gradient(isocline, problem):
    ended = isocline("check-gradient", problem, "--json")
    assert ended.code == 0, ended.err
    assert {row["adjoint"] for row in ended.document["rows"]} >= {"replay", "differences"}
    assert ended.document["method"] == "heun"


@pytest.mark.slow
def test_profile(isocline, problem):
    ended = isocline("profile", problem, "--steps", "4", "--method", "rk4")
    assert ended.code == 0, ended.err
    assert ended.out.startswith("rk4, adjoint replay, float32") and "Floor: 16" in ended.out


@pytest.mark.slow
def test_debug_gradient_of_a_named_problem_in_double(isocline, problem):
    ended = isocline("debug-gradient", f"{problem}:other", "--json", "--double")
    assert ended.code == 0, ended.err
    assert ended.document["kind"] == "vjp" and "`sqrt`" in ended.document["message"]
    assert not json.loads(ended.out)["ok"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("f = 1\ny0 = 1.0\n", "has no ts"),
        ("", "has no f and no y0 and no ts"),
        ("def f(t, y:\n", "is not Python, line 1"),
        ("x = 1\nimport nothing_like_that\n", "fails in line 2 (ModuleNotFoundError"),
        ("f, y0, ts = 1, 1.0, [0.0, 1.0]\n", "f must be a function"),
        ("f, y0, ts, options = abs, 1.0, [0.0, 1.0], 3\n", "options must be a dict"),
        ("def f(t, y): return y\ny0, ts = float('nan'), [0.0, 1.0]\n", "y0 is not finite"),
        ("def f(t, y): return y[5].foo\ny0, ts = 1.0, [0.0, 1.0]\n", "can not be run"),
        (
            "def f(t, y): return y\ny0, ts, options = 1.0, [0.0, 1.0], {'rtl': 1}\n",
            "options has 'rtl'",
        ),
    ],
)
def test_files_that_do_not_fit_are_told(isocline, tmp_path, text, words):
    file = tmp_path / "bad.py"
    file.write_text(text)
    ended = isocline("debug-gradient", file)
    assert words in ended.err + ended.out
    assert ended.code == (0 if "not finite" in words else 2)
    assert "Traceback" not in ended.err


def test_files_that_are_not_there_are_told(isocline, tmp_path, problem):
    assert "There is no file" in isocline("profile", tmp_path / "none.py").err
    assert "no Python file" in isocline("profile", tmp_path / "none.txt").err
    ended = isocline("profile", f"{problem}:nobody")
    assert ended.code == 2 and "has no nobody" in ended.err
