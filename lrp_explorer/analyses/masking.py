"""A mask put on an example: what remains of the prediction when pixels are kept, or removed."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from lrp_explorer.engine import Session
from lrp_explorer.errors import InputError, unknown_name

ACTIONS = ("keep", "remove")


@dataclass(frozen=True)
class Masked:
    """An example before and after.

    Attributes
    ----------
    example : Tensor
        The masked example ``(channels, height, width)``.
    before, after : ndarray of float64
        Logits ``(classes,)`` of the example, and of the masked one.
    share : float
        Share of the pixels that were replaced, in [0, 1].
    """

    example: Tensor = field(repr=False)
    before: np.ndarray
    after: np.ndarray
    share: float

    @property
    def predictions(self) -> tuple[int, int]:
        """The predicted class before and after."""
        return int(self.before.argmax()), int(self.after.argmax())


def apply(example: Tensor, mask: np.ndarray, action: str = "keep", fill: Any = 0.0) -> Tensor:
    """Replace the pixels outside a mask (keep) or inside it (remove).

    Parameters
    ----------
    example : Tensor
        ``(channels, height, width)``, as the model reads it.
    mask : ndarray of bool
        ``(height, width)``, or with the example's channels.
    action : {"keep", "remove"}
        What happens to the pixels for which the mask is true.
    fill : float, ndarray or Tensor
        What the others become, in units of the model's input; of the example's shape, or one that broadcasts to it.

    Returns
    -------
    Tensor
        A new one, of the example's shape and type.

    Raises
    ------
    InputError
        If shapes do not fit, or the mask does not hold truth values.
    UnknownNameError
        For another action.
    """
    if action not in ACTIONS:
        raise unknown_name("action", action, ACTIONS)
    mask = np.asarray(mask)
    if mask.dtype != bool:
        raise InputError(f"the mask holds {mask.dtype}; expected truth values, such as values >= threshold")
    if mask.shape not in (tuple(example.shape), tuple(example.shape[1:])):
        raise InputError(
            f"the mask has shape {mask.shape}, but the example {tuple(example.shape)}; expected one value for each "
            "pixel: a mask of the input, of the same data set and model"
        )
    value = torch.as_tensor(fill, dtype=example.dtype, device=example.device)
    try:
        filling = value.broadcast_to(example.shape)
    except RuntimeError:
        raise InputError(
            f"fill has shape {tuple(value.shape)}; expected a number, or the example's shape {tuple(example.shape)}"
        ) from None
    kept = torch.from_numpy(np.ascontiguousarray(mask if action == "keep" else ~mask)).to(example.device)
    return torch.where(kept.broadcast_to(example.shape), example, filling)


def strongest(values: np.ndarray, share: float, lowest: bool = False) -> np.ndarray:
    """Turn numbers into a mask: true for the largest ones.

    Parameters
    ----------
    values : ndarray
        Of any shape; NaN is never among the largest.
    share : float
        Share of the values to take, in [0, 1]; values equal to the last one taken are taken, too.
    lowest : bool
        The smallest instead, for costs.

    Raises
    ------
    InputError
        If the share is out of range.
    """
    if not 0.0 <= share <= 1.0:
        raise InputError(f"share is {share!r}; expected a share of the pixels, between 0 and 1")
    ranked = np.where(np.isnan(values), -np.inf, -values if lowest else values)
    count = round(share * ranked.size)
    if not count:
        return np.zeros(ranked.shape, bool)
    least = np.partition(ranked, ranked.size - count, axis=None)[ranked.size - count]
    return (ranked >= least) & ~np.isnan(values)


def masked_prediction(
    model: nn.Module,
    example: Tensor,
    mask: np.ndarray,
    action: str = "keep",
    fill: Any = 0.0,
    device: str = "auto",
) -> Masked:
    """Put a mask on an example and ask the model about both; parameters as for `apply`."""
    after = apply(example, mask, action, fill)
    logits = Session(model, torch.stack([example, after]), device, memory=0).logits.double().cpu().numpy()
    inside = float(np.asarray(mask).mean())
    return Masked(after, logits[0], logits[1], 1 - inside if action == "keep" else inside)
