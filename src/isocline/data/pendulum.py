"""IBM's double pendulum: 21 runs of a real one on high-speed video (Asseman et al. 2018).

The publisher's files have a row a frame with the positions of three markers: the pivot, the joint
and the free end, x and y of each in fifths of a pixel. The camera lies on its side: x points down.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float

from isocline.data.remote import fetch, held_file
from isocline.errors import InputError

FRAMES_A_SECOND = 400
RUNS = 21
# The same as one archive, as ISOCLINE_DATA may hold it.
_ARCHIVE = "physics/double_pendulum_ibm/ibm_double_pendulum.npz"
_LENGTHS = ((580.0, 620.0), (420.0, 480.0))  # of the arms, in fifths of a pixel


def load_double_pendulum(
    paths: Sequence[str | Path] | None = None,
) -> list[Float[np.ndarray, "frames 2"]]:
    """Angles of both arms against the vertical, in radians, 400 times a second.

    Args:
        paths: of the runs' tables. If not given: of all 21, from the archive below `ISOCLINE_DATA`
            or downloaded once.

    Returns:
        For each run, about 44 seconds; an angle is 0 where the arm hangs, and within (-pi, pi].

    Raises:
        InputError: a file is not there, or does not hold the markers of this pendulum.
    """
    if paths is None and (archive := held_file(_ARCHIVE)) is not None:
        with np.load(archive, allow_pickle=False) as found:
            names = [f"run{run:02d}" for run in range(RUNS)]
            missing = [name for name in names if name not in found.files]
            if missing:
                raise InputError(f"{archive} has no {missing[0]}: it is not the whole data set.")
            return [_angles(found[name], f"{name} of {archive.name}") for name in names]
    files = [fetch(f"double_pendulum_{run:02d}") for run in range(RUNS)] if paths is None else paths
    return [_angles(_read(Path(file)), Path(file).name) for file in files]


def _read(path: Path) -> np.ndarray:
    try:
        return np.loadtxt(path, delimiter=",", ndmin=2)
    except ValueError as error:
        raise InputError(
            f"{path.name} is not a table of numbers ({error}). Get the file again."
        ) from None


def _angles(markers: np.ndarray, name: str) -> Float[np.ndarray, "frames 2"]:
    """From the markers, which must lie as far from each other as the arms are long."""
    if markers.ndim != 2 or markers.shape[1] != 6:
        raise InputError(
            f"{name} has the shape {markers.shape}, and should have a row a frame and six columns: "
            f"x and y of pivot, joint and end. Get the file again."
        )
    arms = np.diff(markers.astype(np.float64).reshape(-1, 3, 2), axis=1)
    for arm, (low, high) in enumerate(_LENGTHS):
        median = float(np.median(np.hypot(*arms[:, arm].T)))
        if not low < median < high:
            raise InputError(
                f"Arm {arm + 1} of {name} is {median:.0f} fifths of a pixel long, and should be "
                f"{low:.0f} to {high:.0f}: these are not the markers of IBM's pendulum."
            )
    return np.arctan2(arms[..., 1], arms[..., 0])
