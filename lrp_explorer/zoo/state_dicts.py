"""The state dict within what a training has saved: found by what it holds, chosen by the model that it is for."""

from __future__ import annotations

import re
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from lrp_explorer.errors import WeightsError

DEPTH = 5
"""How deep dictionaries are looked into."""

COUNTERS = ("num_batches_tracked", "total_ops", "total_params", "n_averaged")
"""Last parts of names under which batch normalisation, profilers and averages of weights count; nothing reads them."""

AVERAGES = re.compile(r"(^|[._])(ema|swa|avg|averaged?|shadow|teacher|momentum)", re.IGNORECASE)
"""Names of weights averaged over a training; the model's own go first."""

WRAPPERS = ("module.", "_orig_mod.")  # left by DataParallel, averaged models and torch.compile


@dataclass(frozen=True)
class Part:
    """A mapping of names to tensors within a file.

    Attributes
    ----------
    name : str
        The keys that lead to it, joined by dots, and the prefix that its own keys had; empty for the file itself.
    state : mapping of str to Tensor
        The tensors beneath that prefix, without it.
    left_out : tuple of str
        Tensors of the same mapping that are not beneath the prefix, counters aside.
    """

    name: str
    state: Mapping[str, Tensor]
    left_out: tuple[str, ...] = ()


def parts(content: Any, file: str) -> list[Part]:
    """Find every mapping of names to tensors in what a file holds; other entries of such a mapping are passed over.

    Raises
    ------
    WeightsError
        If there is none.
    """
    found = [Part(".".join(keys), state) for keys, state in _mappings(content, ())]
    if found:
        return found
    if not isinstance(content, dict) or not content:
        raise WeightsError(
            f"the weights file {file!r} holds a {type(content).__name__}; expected a state dict (name → tensor), as "
            "model.state_dict() gives it"
        )
    key, value = next(iter(content.items()))
    raise WeightsError(
        f"the weights file {file!r} holds a {type(value).__name__} under {key!r}; expected tensors only, by name, or a "
        "dictionary of such. Save model.state_dict()"
    )


def _mappings(content: Any, keys: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Mapping[str, Tensor]]]:
    if not isinstance(content, dict) or len(keys) > DEPTH:
        return
    tensors = {key: value for key, value in content.items() if isinstance(key, str) and isinstance(value, Tensor)}
    if len(tensors) == len(content) and tensors:
        yield keys, content  # with PyTorch's notes of versions
    elif tensors:
        yield keys, tensors
    for key, value in content.items():
        yield from _mappings(value, (*keys, str(key)))


def unwrapped(part: Part) -> Part:
    """Take off what wrappers of models leave before every name; one after the other, in whatever order."""
    names = [key for key in part.state if not is_counter(key)]
    prefix = ""
    while names and (more := [one for one in WRAPPERS if all(name.startswith(prefix + one) for name in names)]):
        prefix += more[0]
    return beneath(part, prefix)


def beneath(part: Part, prefix: str) -> Part:
    """Give the tensors whose names begin with a prefix, without it."""
    if not prefix:
        return part
    state = {key.removeprefix(prefix): value for key, value in part.state.items() if key.startswith(prefix)}
    outside = tuple(key for key in part.state if not key.startswith(prefix) and not is_counter(key))
    return Part(".".join(filter(None, (part.name, prefix.rstrip(".")))), state, outside)


def is_counter(key: str) -> bool:
    """Whether a tensor of this name is a mere counter."""
    return key.rpartition(".")[2] in COUNTERS


def likeliest(found: Sequence[Part]) -> Part:
    """Choose without a model: the most tensors, and the model's own before averages."""
    return unwrapped(min(found, key=lambda part: (-len(part.state), bool(AVERAGES.search(part.name)))))


def chosen(
    found: Sequence[Part],
    own: Mapping[str, Tensor],
    adapt: Callable[[Mapping[str, Tensor]], Mapping[str, Tensor]],
    model: str,
    file: str,
    wanted: str | None,
) -> Part:
    """Choose the part of a file, and the prefix of names in it, that fits a model best.

    Where several fit, the model's own weights go before averages, and the first of the file before others; a warning
    names them all.

    Parameters
    ----------
    found : sequence of Part
        Of the file.
    own : mapping of str to Tensor
        The model's state dict.
    adapt : callable
        Brings a state dict to the model's names of today.
    model, file : str
        Of the model and of the weights file, for the messages.
    wanted : str or None
        `Part.name` of the part to take; None to choose.

    Raises
    ------
    WeightsError
        If nothing has the name that was asked for.
    """
    needed = {key: value.shape for key, value in own.items() if not is_counter(key)}
    options = [
        Part(option.name, adapt(option.state), option.left_out)
        for part in found
        for option in (beneath(part, prefix) for prefix in _prefixes(part.state, needed))
    ]
    if wanted is not None and wanted not in [option.name for option in options]:
        raise WeightsError(
            f"the weights file {file!r} has no part {wanted!r} for {model!r}; expected one of "
            f"{', '.join(repr(option.name) for option in options)}"
        )
    options = [option for option in options if wanted in (None, option.name)]

    def misfit(option: Part) -> tuple[int, int, bool, int]:
        same = sum(key in option.state and option.state[key].shape == shape for key, shape in needed.items())
        named = sum(key in option.state for key in needed)
        return -same, -named, bool(AVERAGES.search(option.name)), -len(option.state) if not named else 0

    ordered = sorted(options, key=misfit)
    best = ordered[0]
    fitting = [option for option in ordered if misfit(option)[0] == -len(needed)]
    others = [option.name for option in fitting[1:] if not _equal(option, best, needed)]
    if others and wanted is None:
        warnings.warn(
            f"the weights file {file!r} holds {len(fitting)} sets of weights that fit {model!r}: {best.name!r} is "
            f"taken. For another: load_model({model!r}, {file!r}, part={others[0]!r})",
            UserWarning,
            stacklevel=4,
        )
    return best


def _prefixes(state: Mapping[str, Tensor], needed: Mapping[str, Any]) -> list[str]:
    """Give the prefixes after which names of the model follow, the most frequent first; and none at all."""
    found: Counter[str] = Counter()
    for key in state:
        words = key.split(".")
        for place in range(len(words)):
            if ".".join(words[place:]) in needed:
                found[".".join([*words[:place], ""]) if place else ""] += 1
    names = [prefix for prefix, _ in found.most_common()]
    return names or [""]


def _equal(one: Part, other: Part, needed: Mapping[str, Any]) -> bool:
    return all(
        one.state[key].dtype == other.state[key].dtype and torch.equal(one.state[key], other.state[key])
        for key in needed
    )
