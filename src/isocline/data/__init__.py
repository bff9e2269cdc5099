"""Irregular time series: long tables from files and frames, and data sets to try things on."""

from __future__ import annotations

from isocline.data.builtin import load, names
from isocline.data.covariates import Covariates
from isocline.data.densities import PlaneDensity, plane_densities, plane_density
from isocline.data.hopper import Hopper, load_hopper
from isocline.data.images import ImageSet, image_sets, load_images, read_idx
from isocline.data.physionet import Stays, load_physionet
from isocline.data.reading import read_table
from isocline.data.seasons import candidate_periods
from isocline.data.spirals import Spirals, spirals
from isocline.data.table import Columns, Series, SeriesTable, TimeAxis
from isocline.data.times import parse_horizon, read_times, regular_times

__all__ = [
    "Columns",
    "Covariates",
    "Hopper",
    "ImageSet",
    "PlaneDensity",
    "Series",
    "SeriesTable",
    "Spirals",
    "Stays",
    "TimeAxis",
    "candidate_periods",
    "image_sets",
    "load",
    "load_hopper",
    "load_images",
    "load_physionet",
    "names",
    "parse_horizon",
    "plane_densities",
    "plane_density",
    "read_idx",
    "read_table",
    "read_times",
    "regular_times",
    "spirals",
]
