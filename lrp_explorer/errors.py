"""All exceptions of the house: each names the value, what was expected, the layer, and what to do."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class LrpError(Exception):
    """Base of every error raised on purpose; catch it to catch them all."""


class InputError(LrpError, ValueError):
    """The input, target or a parameter does not fit the model or the rule."""


class UnknownNameError(LrpError, KeyError):
    """A name that no registry knows; the message suggests the nearest known names."""

    def __str__(self) -> str:
        # KeyError would show the repr of the message, with its quotes escaped.
        return str(self.args[0]) if self.args else ""


class ModelError(LrpError, TypeError):
    """The model cannot be explained as it stands (not exportable, or not a classifier)."""


class CoverageError(LrpError, NotImplementedError):
    """An operation of the model has no rule."""


class NumericsError(LrpError, ArithmeticError):
    """A value became NaN or infinite; the message names the first layer where it happened."""


class OutOfMemoryError(LrpError, MemoryError):
    """The computation does not fit the memory of its device, however small its parts."""


class WeightsError(LrpError, ValueError):
    """A weights file is unsafe, damaged, or belongs to another model."""


class DataError(LrpError, ValueError):
    """A data set or image is missing, empty, damaged, or over a limit."""


class WorkerError(LrpError, RuntimeError):
    """A worker of a cluster could not do its share: it was lost, or cannot load the model or the data set."""


class ServerError(LrpError, RuntimeError):
    """The app could not be served."""


def unknown_name(kind: str, name: object, known: Iterable[str], hint: str = "") -> UnknownNameError:
    """Build the error for an unknown name, with the nearest known ones.

    Parameters
    ----------
    kind : str
        What was looked up, in the user's words, e.g. ``"composite"``.
    name : object
        The name as given.
    known : iterable of str
        Every name that would have been accepted.
    hint : str, optional
        One more sentence: what else the user can do.

    Returns
    -------
    UnknownNameError
        To be raised by the caller.
    """
    names = list(known)
    by_lower = {known_name.lower(): known_name for known_name in names}
    near = [by_lower[low] for low in difflib.get_close_matches(str(name).lower(), by_lower, n=3, cutoff=0.5)]
    guess = f" Did you mean {' or '.join(repr(n) for n in near)}?" if near else ""
    shown = ", ".join(names[:40]) + (f", … ({len(names)} in all)" if len(names) > 40 else "")
    return UnknownNameError(f"unknown {kind} {name!r}.{guess} Known: {shown or 'none'}.{' ' + hint if hint else ''}")


class Cancelled(LrpError):
    """The computation was given up on request, because a newer one has made it stale."""
