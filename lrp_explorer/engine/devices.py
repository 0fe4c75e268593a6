"""Where the computation runs, and how exactly."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
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
    if chosen.type == "cuda" and not torch.cuda.is_available():
        raise InputError(f"device {device!r} is not there: PyTorch sees no GPU on this machine; use 'auto' or 'cpu'")
    if chosen.type == "cuda" and chosen.index is None:
        return torch.device("cuda", torch.cuda.current_device())
    return chosen


@contextmanager
def full_precision() -> Iterator[None]:
    """Keep CUDA from rounding float32 to TF32 while relevance is computed; the user's settings are put back."""
    matmul: Any = torch.backends.cuda.matmul
    cudnn: Any = torch.backends.cudnn
    before = (matmul.allow_tf32, cudnn.allow_tf32)
    if not torch.cuda.is_available() or before == (False, False):
        yield
        return
    matmul.allow_tf32 = cudnn.allow_tf32 = False
    try:
        yield
    finally:
        matmul.allow_tf32, cudnn.allow_tf32 = before
