"""Where the computation runs, and how exactly."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor

from lrp_explorer.errors import InputError


def pick_device(device: str | torch.device, x: Tensor) -> torch.device:
    """Turn ``"auto"`` into the input's GPU, else the first GPU there is, else the CPU; check any other name."""
    if str(device) == "auto":
        if x.device.type != "cpu":
            return x.device
        return torch.device("cuda", torch.cuda.current_device()) if torch.cuda.is_available() else torch.device("cpu")
    try:
        chosen = torch.device(device)
    except (RuntimeError, TypeError):
        raise InputError(f"device is {device!r}, but 'auto', 'cpu', 'cuda' or 'cuda:0' … is expected") from None
    if chosen.type == "cpu" and chosen.index:
        raise InputError(f"device is {device!r}, but there is one CPU alone; use 'auto' or 'cpu'")
    if chosen.type == "meta":
        raise InputError("device is 'meta', where there are no values; use 'auto' or 'cpu'")
    if chosen.type == "cuda" and not torch.cuda.is_available():
        raise InputError(f"device {device!r} is not there: PyTorch sees no GPU on this machine; use 'auto' or 'cpu'")
    if chosen.type != "cpu":
        _probe(chosen)
    if chosen.type == "cuda" and chosen.index is None:
        return torch.device("cuda", torch.cuda.current_device())
    return chosen


def _probe(device: torch.device) -> None:
    """Refuse a device, or one of its number, that this PyTorch cannot put a tensor on."""
    try:
        torch.empty(0, device=device)
    except Exception as error:
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise InputError(f"device '{device}' is not there: {reason.partition('. ')[0]}; use 'auto' or 'cpu'") from error


@contextmanager
def own_arithmetic() -> Iterator[None]:
    """Compute as the model's own types say, whatever modes surround the call; see `full_precision`.

    Tensors made in inference mode could not be watched for changes, nor differentiated; theirs goes on after the call.
    """
    with torch.inference_mode(False), full_precision():
        yield


@contextmanager
def full_precision() -> Iterator[None]:
    """Keep autocast from rounding, and CUDA from rounding float32 to TF32; the user's settings are put back.

    Where a model casts by itself, inside its forward, that is part of its graph.
    """
    casting = [kind for kind in ("cpu", "cuda") if torch.is_autocast_enabled(kind)]
    matmul: Any = torch.backends.cuda.matmul
    cudnn: Any = torch.backends.cudnn
    before = (matmul.allow_tf32, cudnn.allow_tf32)
    if not casting and (before == (False, False) or not torch.cuda.is_available()):
        # The rule, and quick: sessions of small models come here many times a second.
        yield
        return
    with ExitStack() as settings:
        for kind in casting:
            settings.enter_context(torch.autocast(kind, enabled=False))
        matmul.allow_tf32 = cudnn.allow_tf32 = False
        try:
            yield
        finally:
            matmul.allow_tf32, cudnn.allow_tf32 = before
