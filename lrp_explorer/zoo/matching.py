"""A state dict meets its model: loaded completely, or refused with the first differences named."""

from __future__ import annotations

import difflib
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from lrp_explorer.errors import WeightsError
from lrp_explorer.zoo.state_dicts import Part, is_counter


@dataclass(frozen=True)
class Mismatch:
    """Where a state dict and a model differ; each tuple in the order of the model or of the file."""

    missing: tuple[str, ...] = ()
    unexpected: tuple[str, ...] = ()
    misshaped: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.missing or self.unexpected or self.misshaped)


def load_into(model: nn.Module, part: Part, name: str, file: str, fitting: Callable[[int], list[str]]) -> None:
    """Load a state dict into a model, completely or not at all.

    Half- and double-precision weights become the model's float32. Counters of batch normalisation and of profilers may
    be missing or in excess, since evaluation does not use them.

    Parameters
    ----------
    model : nn.Module
        Receives the weights; of no use after an error.
    part : Part
        The state dict within the file, from `lrp_explorer.zoo.state_dicts.chosen`.
    name, file : str
        Of the model and of the weights file, for the messages.
    fitting : callable
        From a number of parameters to the names of the models that have as many.

    Raises
    ------
    WeightsError
        If keys, shapes or kinds of tensor do not fit, or if a weight is NaN or infinite.
    """
    own = model.state_dict()
    state = _without_counters(part.state, own)
    misshaped = tuple(key for key in own if key in state and own[key].shape != state[key].shape)
    _check_kinds(own, state, file)
    if misshaped:
        missing = tuple(key for key in own if key not in state and not is_counter(key))
        mismatch = Mismatch(missing, tuple(key for key in state if key not in own), misshaped)
    else:
        # PyTorch compares the names, since modules may know former names of theirs.
        loaded = model.load_state_dict(_with_versions(state, own), strict=False)
        mismatch = Mismatch(
            tuple(key for key in loaded.missing_keys if not is_counter(key)), tuple(loaded.unexpected_keys)
        )
    if mismatch:
        found = f"the weights file {file!r}{f' ({part.name})' if part.name else ''} does not fit {name!r}"
        raise WeightsError(f"{found}: {_differences(mismatch, state, own)}. {_advice(state, own, name, fitting)}")
    _check_finite(model, file)


def _without_counters(state: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    strange = [key for key in state if is_counter(key) and (key not in own or own[key].shape != state[key].shape)]
    if not strange:
        return state
    rest = OrderedDict((key, value) for key, value in state.items() if key not in strange)
    setattr(rest, "_metadata", getattr(state, "_metadata", None))  # noqa: B010, as PyTorch itself marks it
    return rest


def _with_versions(state: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """Mark a state dict of today's names, but without notes of version, as one of today.

    Modules take a state dict without such notes (a `.safetensors` file has none) for an old one and convert it.
    """
    if getattr(state, "_metadata", None) is None and state.keys() == own.keys():
        state = OrderedDict(state)
        setattr(state, "_metadata", getattr(own, "_metadata", None))  # noqa: B010, as PyTorch itself marks it
    return state


def _check_kinds(own: Mapping[str, Tensor], state: Mapping[str, Tensor], file: str) -> None:
    for key in own:
        if key not in state:
            continue
        value, told = state[key], f"{key!r} of the weights file {file!r}"
        if value.is_meta:
            raise WeightsError(
                f"{told} is on the device 'meta', where there are no values; expected weights. Load the model's "
                "weights before its state dict is saved"
            )
        if value.is_quantized or value.is_floating_point() != own[key].is_floating_point():
            raise WeightsError(
                f"{told} has dtype {value.dtype}; expected {own[key].dtype}. Quantised models are not supported"
                if not value.is_complex()
                else f"{told} has complex values ({value.dtype}); expected {own[key].dtype}"
            )
        if value.layout != torch.strided:
            raise WeightsError(
                f"{told} has the layout {value.layout}; expected a dense tensor. Save {{name: value.to_dense() if "
                "value.layout != torch.strided else value for name, value in state.items()}"
            )


def _check_finite(model: nn.Module, file: str) -> None:
    for key, value in model.state_dict().items():
        if value.is_floating_point() and not bool(value.isfinite().all()):
            count = int((~value.isfinite()).sum())
            raise WeightsError(
                f"{key!r} of the weights file {file!r} has {count} of {value.numel()} values NaN or infinite in "
                "float32; expected finite weights. Take the last checkpoint before the training diverged"
            )


def _differences(mismatch: Mismatch, state: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> str:
    found = [
        f"{len(keys)} {kind} key{'s' * (len(keys) > 1)}, first {keys[0]!r}"
        for kind, keys in (("missing", mismatch.missing), ("unexpected", mismatch.unexpected))
        if keys
    ]
    if mismatch.misshaped:
        first = mismatch.misshaped[0]
        found.append(
            f"{len(mismatch.misshaped)} of another shape, first {first!r} with {tuple(state[first].shape)} instead of "
            f"{tuple(own[first].shape)}"
        )
    if mismatch.missing and mismatch.unexpected:
        lacking = mismatch.missing[0]
        # Names end alike where a layer was merely called something else.
        near = difflib.get_close_matches(lacking, mismatch.unexpected, n=1, cutoff=0) or mismatch.unexpected
        shapes = tuple(own[lacking].shape), tuple(state[near[0]].shape)
        found.append(f"nearest to {lacking!r} {shapes[0]} is the file's {near[0]!r} {shapes[1]}")
    return "; ".join(found)


def _advice(
    state: Mapping[str, Tensor], own: Mapping[str, Tensor], name: str, fitting: Callable[[int], list[str]]
) -> str:
    count = parameter_count(state)
    others = fitting(count)
    if name in others:
        if [value.shape for value in state.values()] == [value.shape for value in own.values()]:
            return (
                "Its tensors have the shapes of the model's, in the same order, under other names: save "
                f"dict(zip(load_model({name!r}, 'random').state_dict(), state.values()))"
            )
        return (
            f"It has as many parameters ({count}) as the model, under other names: rename its keys to those of "
            f"load_model({name!r}, 'random').state_dict()"
        )
    if others:
        return f"It has as many parameters ({count}) as {' or '.join(map(repr, others))}: load it there"
    return (
        f"No model of the zoo has as many parameters ({count}): build the network yourself, load the file into it and "
        "explain that module"
    )


def parameter_count(state: Mapping[str, Tensor]) -> int:
    """Count the trainable numbers of a state dict: everything but statistics, indices and counters."""
    return sum(
        value.numel()
        for key, value in state.items()
        if value.is_floating_point() and not key.endswith(("running_mean", "running_var"))
    )
