"""Errors that a user of Isocline may meet."""

from __future__ import annotations


class IsoclineError(Exception):
    """Base of every error that Isocline raises on purpose."""


class InputError(IsoclineError, ValueError):
    """Bad input or usage; the command line ends with exit code 2.

    The message is one paragraph for a person: what is wrong, where it is (file, column, and row
    as a spreadsheet counts: the header is row 1), and how to mend it.
    """
