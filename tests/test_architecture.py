"""The house: imports point one way, files and functions stay small, and light things stay light."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "isocline"

# What each part of the package may import besides itself, `errors` and `_version`.
ALLOWED = {
    "errors": set(),
    "_version": set(),
    "ode": set(),
    "data": {"evaluation"},
    "evaluation": {"data"},
    "nn": {"ode"},
    "models": {"ode", "nn"},
    "robust": {"ode", "nn"},
    "train": {"ode", "nn", "models", "robust"},
    "estimators": {"ode", "nn", "models", "robust", "train", "data", "evaluation"},
}
_BELOW = ALLOWED["estimators"] | {"estimators"}
ALLOWED |= {
    "experiments": _BELOW | {"report"},
    "report": _BELOW,
    "cli": _BELOW | {"experiments", "report"},
    "__main__": {"cli"},
}
HEAVY = {"jax", "jaxlib", "equinox", "optax", "numpy", "pandas", "polars", "scipy", "matplotlib"}
LONGEST_FILE, LONGEST_FUNCTION = 400, 60


def module_of(file: Path, root: Path = SOURCE) -> str:
    parts = ("isocline", *file.relative_to(root).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports_of(text: str, module: str, is_package: bool, known: set[str]) -> Iterator[str]:
    """All modules of ours that a file imports, inside functions and under TYPE_CHECKING as well."""
    package = module.split(".") if is_package else module.split(".")[:-1]
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            names = (alias.name for alias in node.names)
            yield from (name for name in names if name.split(".")[0] == "isocline")
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            source = ".".join([*base, *([node.module] if node.module else [])])
            if source.split(".")[0] == "isocline":
                # After `from`, `import data` may name a module, and `import load` a function.
                names = (f"{source}.{alias.name}" for alias in node.names)
                yield from (name if name in known else source for name in names)


def graph() -> dict[str, set[str]]:
    files = {module_of(file): file for file in SOURCE.rglob("*.py")}
    return {
        module: set(imports_of(file.read_text(), module, file.name == "__init__.py", set(files)))
        for module, file in files.items()
        # The package itself names the public modules, lazily: a test below checks that.
        if module != "isocline"
    }


def part(module: str) -> str:
    return [*module.split("."), ""][1]


def strays(edges: dict[str, set[str]]) -> list[str]:
    """Imports that point the wrong way."""
    found = []
    for module, targets in sorted(edges.items()):
        allowed = ALLOWED[part(module)] | {part(module), "_version"}
        if part(module) != "_version":
            allowed = allowed | {"errors"}
        found += [f"{module} -> {target}" for target in targets if part(target) not in allowed]
    return found


def cycles(edges: dict[str, set[str]]) -> list[str]:
    """Modules that can reach themselves."""

    def reached(start: str) -> set[str]:
        seen, waiting = set(), list(edges.get(start, ()))
        while waiting:
            module = waiting.pop()
            if module not in seen:
                seen.add(module)
                waiting += edges.get(module, ())
        return seen

    return sorted(module for module in edges if module in reached(module))


def eager(edges_of: dict[str, set[str]]) -> dict[str, set[str]]:
    """Edges between the parts of the package."""
    parts: dict[str, set[str]] = {}
    for module, targets in edges_of.items():
        parts.setdefault(part(module), set()).update(part(target) for target in targets)
    return {
        name: {target for target in targets if target != name} for name, targets in parts.items()
    }


def test_imports_point_one_way():
    assert strays(graph()) == []


def test_every_part_has_its_place():
    assert {part(module) for module in graph()} <= set(ALLOWED)


def test_parts_form_no_cycle():
    assert cycles(eager(graph())) == []


def test_the_engine_stands_alone():
    targets = {
        part(target)
        for module, found in graph().items()
        if part(module) == "ode"
        for target in found
    }
    assert targets <= {"ode", "errors"}


def test_a_wrong_import_is_found():
    """The tests above would see one: also a relative one, and one inside a function."""
    known = {"isocline.ode", "isocline.ode.loop", "isocline.models", "isocline.models.gru"}
    text = "def f():\n    from ..models import gru\n    import isocline.cli.app\n"
    found = set(imports_of(text, "isocline.ode.loop", False, known))
    assert found == {"isocline.models.gru", "isocline.cli.app"}
    assert len(strays({"isocline.ode.loop": found})) == 2
    assert cycles({"a": {"b"}, "b": {"c"}, "c": {"b"}}) == ["b", "c"]


def test_files_and_functions_stay_small():
    long = []
    for file in sorted(SOURCE.rglob("*.py")):
        text = file.read_text()
        kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
        functions = [node for node in ast.walk(ast.parse(text)) if isinstance(node, kinds)]
        long += [str(file)] * (len(text.splitlines()) > LONGEST_FILE)
        long += [f"{file}:{one.name}" for one in functions if body_lines(one) > LONGEST_FUNCTION]
    assert long == []


def body_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines of a function after its signature and docstring."""
    body = function.body[1:] if ast.get_docstring(function) is not None else function.body
    return body[-1].end_lineno - body[0].lineno + 1 if body else 0


def loaded_by(code: str) -> set[str]:
    """The top-level modules that a fresh interpreter holds after some code."""
    code += "\nimport sys; print('LOADED', *{name.split('.')[0] for name in sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split("LOADED")[-1].split())


def test_import_is_light():
    assert loaded_by("import isocline; isocline.__version__; isocline.InputError") & HEAVY == set()


def test_solve_does_not_load_tables_and_plots():
    assert (
        loaded_by("from isocline import solve") & {"pandas", "polars", "matplotlib", "optax"}
        == set()
    )


@pytest.mark.parametrize("arguments", [["--help"], ["--version"]])
def test_help_is_light(arguments):
    # pydantic may ask for numpy's version, but nothing of JAX's size may be loaded.
    loaded = loaded_by(f"from isocline.cli import main\nassert main({arguments!r}) == 0")
    assert "cyclopts" in loaded
    assert loaded & HEAVY == set()


def test_all_public_names_exist():
    import isocline

    missing = [name for name in isocline.__all__ if not hasattr(isocline, name)]
    assert missing == []
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = isocline.nonsense
