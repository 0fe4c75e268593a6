"""What every baseline has: a name, checked parameters, and a call that turns a case into relevance."""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from lrp_explorer.errors import InputError, unknown_name
from lrp_explorer.registry import Registry

if TYPE_CHECKING:
    from lrp_explorer.baselines.case import Case
    from lrp_explorer.results import Relevance

M = TypeVar("M", bound="type[Method]")


@dataclass(frozen=True)
class Method(ABC):
    """A way to explain a decision, as data: the parameters are its fields, calling it does the work.

    Attributes
    ----------
    formula : str
        The method in plain text: relevance R_i of input x_i, for f the logit of the explained class.
    """

    formula: ClassVar[str] = ""

    @abstractmethod
    def __call__(self, case: Case) -> Relevance:
        """Explain a batch."""


_registry: Registry[type[Method]] = Registry("baseline")


def baseline(name: str) -> Callable[[M], M]:
    """Register the decorated class under `name`."""
    return _registry.as_decorator(name)  # type: ignore[return-value]


def names() -> list[str]:
    """Names of the methods."""
    return _registry.names()


def get(name: str) -> type[Method]:
    """Look a method's class up by name; `UnknownNameError` suggests the nearest."""
    return _registry.get(name)


def build(method: str | Method, parameters: Mapping[str, Any] | None = None) -> Method:
    """Make a method from its name and parameters, or return the one given.

    Raises
    ------
    InputError, UnknownNameError
        When the method, a parameter's name or its value is not known.
    """
    parameters = dict(parameters or {})
    if isinstance(method, Method):
        if parameters:
            raise InputError(
                f"{method!r} has its parameters already, but {', '.join(parameters)} came beside it; "
                "set them in the object, or give the method's name"
            )
        return method
    if not isinstance(method, str):
        raise InputError(
            f"method is {method!r}, but a name ({', '.join(names())}) or an object such as "
            "lrp_explorer.baselines.Saliency() is expected"
        )
    chosen = get(method)
    known = [field.name for field in dataclasses.fields(chosen)]
    for name in parameters:
        if name not in known:
            raise unknown_name(f"parameter of {method}", name, known)
    return chosen(**parameters)
