"""The hopper of MuJoCo, thrown into the air (Rubanova et al. 2019): simulated once, then kept.

A planar leg of five bodies starts in a random pose with random velocities and no control, falls,
and hits the ground. As in the authors' code: the initial state is 0 to 0.5 of the first two
positions, -2 to 2 of the others and -5 to 5 of the velocities, and one step of the simulation lies
between two points. Checked with dm-control 1.0.50, MuJoCo 3.17.0 and NumPy 2.4; another version of
MuJoCo may resolve contacts otherwise.
"""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from isocline.data.remote import cache_folder, held_file
from isocline.errors import InputError

JOINTS = ("rootx", "rootz", "rooty", "waist", "hip", "knee", "ankle")
CHANNELS = (*JOINTS, *(f"{joint} velocity" for joint in JOINTS))
TRAJECTORIES, POINTS = 10_000, 200
SEED = 123  # of the authors' code, whose initial states these are
STEP = 0.005  # seconds
_FOLDER = "physics/hopper"
_PLACES, _ANGLES, _VELOCITIES = (0.0, 0.5), (-2.0, 2.0), (-5.0, 5.0)


class Hopper(NamedTuple):
    """Trajectories of the hopper.

    Attributes:
        times: of the points, in seconds since the throw.
        values: position and height (m) of the trunk and five angles (rad), then their velocities
            (m/s, rad/s), in the order of `CHANNELS`.
    """

    times: Float[np.ndarray, " points"]
    values: Float[np.ndarray, "trajectories points 14"]


def load_hopper(trajectories: int = TRAJECTORIES, seed: int = SEED) -> Hopper:
    """The first so many of the 10,000 trajectories.

    They are read from `physics/hopper/stand-SEED.npy` in the folder that `ISOCLINE_DATA` names, or
    in the cache; where neither has it, they are simulated (10,000 in two minutes) and kept in
    the cache.

    Args:
        trajectories: 1 to 10,000; fewer are the first of more.
        seed: of the initial states.

    Raises:
        InputError: a number is out of its range; dm-control is not installed; or a file holds
            something else.
    """
    if not 1 <= trajectories <= TRAJECTORIES:
        raise InputError(
            f"The hopper has 1 to {TRAJECTORIES:,} trajectories, and not {trajectories}."
        )
    whole, first = (f"{_FOLDER}/stand-{name}.npy" for name in (seed, f"{seed}-{trajectories}"))
    for place in (whole, first):
        kept = held_file(place) or cache_folder() / place
        if kept.is_file():
            return _hopper(_read(kept, trajectories))
    values = simulate(trajectories, seed)
    _keep(cache_folder() / (whole if trajectories == TRAJECTORIES else first), values)
    return _hopper(values)


def _hopper(values: Float[np.ndarray, "trajectories points 14"]) -> Hopper:
    return Hopper(STEP * np.arange(values.shape[1]), values)


def simulate(trajectories: int, seed: int) -> Float[np.ndarray, "trajectories 200 14"]:
    """Throw the hopper so many times.

    Raises:
        InputError: dm-control is not installed.
    """
    physics = _suite().load("hopper", "stand").physics
    # NumPy's older generator and this order of draws: the initial states of the authors' data.
    random = np.random.RandomState(seed)
    values = np.empty((trajectories, POINTS, len(CHANNELS)), np.float32)
    joints = len(JOINTS)
    for trajectory in values:
        with physics.reset_context():
            physics.data.qpos[:2] = random.uniform(*_PLACES, size=2)
            physics.data.qpos[2:] = random.uniform(*_ANGLES, size=joints - 2)
            physics.data.qvel[:] = random.uniform(*_VELOCITIES, size=joints)
        for point in trajectory:
            point[:joints], point[joints:] = physics.data.qpos, physics.data.qvel
            physics.step()
    return values


def _suite() -> Any:
    try:
        with warnings.catch_warnings():
            # Of a machine without a screen, which the simulation does not need.
            warnings.filterwarnings("ignore", ".*DISPLAY")
            from dm_control import suite
    except ImportError as error:
        raise InputError(
            "The hopper is simulated by dm-control, which is not installed: "
            "pip install 'isocline[hopper]'; or put the trajectories of another machine, from "
            f"{_FOLDER} in its cache, into {_FOLDER} of a folder that ISOCLINE_DATA names."
        ) from error
    return suite


def _read(path: Path, trajectories: int) -> Float[np.ndarray, "trajectories points 14"]:
    """The first trajectories of a file."""
    try:
        values = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        raise InputError(f"{path} is no array of NumPy ({error}). Delete it.") from error
    if values.ndim != 3 or values.shape[2] != len(CHANNELS) or len(values) < trajectories:
        raise InputError(
            f"{path} has an array of shape {values.shape}: {trajectories} trajectories of the "
            f"hopper are (at least {trajectories}, points, {len(CHANNELS)}). Delete it."
        )
    return np.array(values[:trajectories], np.float32)


def _keep(path: Path, values: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    # Under another name first: a reader never sees half a file.
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    with part.open("wb") as file:
        np.save(file, values)
    part.replace(path)
