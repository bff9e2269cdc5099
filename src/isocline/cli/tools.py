"""`isocline check-gradient | debug-gradient | profile`: the engine's tools on a file."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

from cyclopts import Parameter

from isocline.errors import InputError

from .common import Talk
from .problems import read_problem_file

Where = Annotated[str, Parameter(help="A Python file, or FILE.py:NAME.")]
Method = Annotated[str | None, Parameter(help="The method, such as tsit5 or dopri8.")]
Rtol = Annotated[float | None, Parameter(help="Relative tolerance.")]
Atol = Annotated[float | None, Parameter(help="Absolute tolerance.")]
Steps = Annotated[int | None, Parameter(help="So many equal steps instead of adapting them.")]
Double = Annotated[bool, Parameter(help="Run the file with double precision enabled.")]


def check_gradient(
    file: Where,
    /,
    *,
    method: Method = None,
    rtol: Rtol = None,
    atol: Atol = None,
    steps: Steps = None,
    double: Double = False,
    talk: Talk = Talk(),  # noqa: B008 - frozen
) -> None:
    """Compare all adjoints with finite differences; see `commands.COMMANDS`."""
    given = {"method": method, "rtol": rtol, "atol": atol, "steps": steps}
    _run("check_gradient", file, given, double, talk)


def debug_gradient(
    file: Where,
    /,
    *,
    method: Method = None,
    rtol: Rtol = None,
    atol: Atol = None,
    steps: Steps = None,
    double: Double = False,
    talk: Talk = Talk(),  # noqa: B008 - frozen
) -> None:
    """Find the first NaN or infinity; see `commands.COMMANDS`."""
    given = {"method": method, "rtol": rtol, "atol": atol, "steps": steps}
    _run("debug_gradient", file, given, double, talk)


def profile(
    file: Where,
    /,
    *,
    method: Method = None,
    rtol: Rtol = None,
    atol: Atol = None,
    steps: Steps = None,
    adjoint: Annotated[str | None, Parameter(help="The adjoint, such as replay.")] = None,
    double: Double = False,
    talk: Talk = Talk(),  # noqa: B008 - frozen
) -> None:
    """Measure a solve and its gradient; see `commands.COMMANDS`."""
    given = {"method": method, "rtol": rtol, "atol": atol, "steps": steps, "adjoint": adjoint}
    _run("profile", file, given, double, talk)


def _run(tool: str, file: str, given: dict[str, Any], double: bool, talk: Talk) -> None:
    import jax
    import jax.numpy as jnp

    from isocline import ode

    with jax.enable_x64(double or jnp.zeros(()).dtype == "float64"):
        problem = read_problem_file(file)
        problem |= {name: value for name, value in given.items() if value is not None}
        found = _called(getattr(ode, tool), file, problem)
    talk.result(found.as_dict(), str(found))


def _called(tool: Callable[..., Any], file: str, problem: dict[str, Any]) -> Any:
    """The tool's report; a mistake in the user's functions is bad input, not a fault of ours."""
    from isocline.errors import IsoclineError

    try:
        return tool(**problem)
    except IsoclineError:
        raise
    except TypeError as error:
        if "unexpected keyword argument" in str(error) and "solve()" in str(error):
            name = str(error).rsplit("argument ", 1)[-1]
            raise InputError(
                f"{file}: options has {name}, which isocline.solve has not."
            ) from error
        raise InputError(_own_fault(file, error)) from error
    except Exception as error:
        raise InputError(_own_fault(file, error)) from error


def _own_fault(file: str, error: Exception) -> str:
    first = (str(error).strip().splitlines() or ["no message"])[0]
    return (
        f"The problem in {file} can not be run ({type(error).__name__}: {first}). "
        "--debug shows the traceback."
    )
