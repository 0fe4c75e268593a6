"""A state dict meets its model: loaded completely, or refused with the first differences named."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from torch import Tensor, nn

from lrp_explorer.errors import WeightsError

UNUSED_AT_EVAL = "num_batches_tracked"


@dataclass(frozen=True)
class Mismatch:
    """Where a state dict and a model differ; each tuple in the order of the model or of the file."""

    missing: tuple[str, ...] = ()
    unexpected: tuple[str, ...] = ()
    misshaped: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.missing or self.unexpected or self.misshaped)


def load_into(
    model: nn.Module, state: Mapping[str, Tensor], name: str, file: str, fitting: Callable[[int], list[str]]
) -> None:
    """Load a state dict into a model, completely or not at all.

    Half- and double-precision weights become the model's float32. Counters of batch normalisation may be missing,
    since evaluation does not use them.

    Parameters
    ----------
    model : nn.Module
        Receives the weights; of no use after an error.
    state : mapping of str to Tensor
        From `read_state`.
    name, file : str
        Of the model and of the weights file, for the messages.
    fitting : callable
        From a number of parameters to the names of the models that have as many.

    Raises
    ------
    WeightsError
        If keys, shapes or kinds of number do not fit, or if a weight is NaN or infinite.
    """
    own = model.state_dict()
    misshaped = tuple(key for key in own if key in state and own[key].shape != state[key].shape)
    _check_kinds(own, state, file)
    if misshaped:
        missing = tuple(key for key in own if key not in state)
        mismatch = Mismatch(missing, tuple(key for key in state if key not in own), misshaped)
    else:
        # PyTorch compares the names, since modules may know former names of theirs.
        loaded = model.load_state_dict(_with_versions(state, own), strict=False)
        mismatch = Mismatch(
            tuple(key for key in loaded.missing_keys if not key.endswith(UNUSED_AT_EVAL)), tuple(loaded.unexpected_keys)
        )
    if mismatch:
        raise WeightsError(_refusal(mismatch, state, own, name, file, fitting))
    _check_finite(model, file)


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
        if key in state and state[key].is_floating_point() != own[key].is_floating_point():
            raise WeightsError(
                f"{key!r} of the weights file {file!r} has dtype {state[key].dtype}; expected {own[key].dtype}. "
                "Quantised models are not supported"
            )


def _check_finite(model: nn.Module, file: str) -> None:
    for key, value in model.state_dict().items():
        if value.is_floating_point() and not bool(value.isfinite().all()):
            count = int((~value.isfinite()).sum())
            raise WeightsError(
                f"{key!r} of the weights file {file!r} has {count} of {value.numel()} values NaN or infinite in "
                "float32; expected finite weights. Take the last checkpoint before the training diverged"
            )


def _refusal(
    mismatch: Mismatch,
    state: Mapping[str, Tensor],
    own: Mapping[str, Tensor],
    name: str,
    file: str,
    fitting: Callable[[int], list[str]],
) -> str:
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
    return f"the weights file {file!r} does not fit {name!r}: {'; '.join(found)}. {_advice(state, fitting)}"


def _advice(state: Mapping[str, Tensor], fitting: Callable[[int], list[str]]) -> str:
    count = parameter_count(state)
    others = fitting(count)
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
