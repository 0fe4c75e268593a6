"""Batches that do not fit the memory are halved; what does not fit by itself is reported."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from lrp_explorer.errors import OutOfMemoryError
from lrp_explorer.results import LedgerRow, Relevance, Table

# The allocator of tensors has a name; kernels that fail to get scratch memory have no class of their own. oneDNN says
# only what it could not make; a "primitive descriptor" is one that it does not know how to make.
_NO_MEMORY = re.compile(
    r"DefaultCPUAllocator|bad_alloc|out of memory|ALLOC_FAILED"
    r"|could not (create a memory|create a primitive(?! descriptor)|execute a primitive)"
)

Explain = Callable[[Tensor, Any, Any], Relevance]


def exhausted(error: BaseException) -> bool:
    """Whether an exception says that memory ran out, on a GPU or on the CPU."""
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    return isinstance(error, RuntimeError) and _NO_MEMORY.search(str(error)) is not None


def report(batch: int, device: object) -> OutOfMemoryError:
    """Build the error for a batch that cannot be made smaller."""
    many = f"a batch of {batch}" if batch > 1 else "a single example"
    return OutOfMemoryError(
        f"{many} does not fit the memory of {device}; take a smaller batch or a smaller input, free memory "
        "(other sessions keep what they computed), or another device"
    )


def halving(explain: Explain, x: Tensor, target: Any, seed: Any, device: object) -> Relevance:
    """Explain a batch; where memory does not suffice, by halves, which is told by a warning.

    Raises
    ------
    OutOfMemoryError
        When a single example does not fit.
    """
    try:
        return explain(x, target, seed)
    except Exception as error:
        if not exhausted(error):
            raise
        if len(x) == 1:
            raise report(1, device) from error
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    half = len(x) // 2
    warnings.warn(
        f"a batch of {len(x)} does not fit the memory of {device}: computed in parts of {len(x) - half} and {half}",
        stacklevel=4,
    )
    parts = [
        _light(halving, explain, x[part], _part(target, part), _part(seed, part), device)
        for part in (slice(None, half), slice(half, None))
    ]
    try:
        return joined(parts)
    except Exception as error:
        raise (report(len(x), device) if exhausted(error) else error) from error


def _light(run: Callable[..., Relevance], *given: Any) -> Relevance:
    """Explain a part, and let go of the recorded forward; its ledger, if asked for, makes it again."""
    return replace(run(*given), _ledger=lambda: run(*given).ledger)


def _part(value: Any, part: slice) -> Any:
    if isinstance(value, (str, int)) or value is None:
        return value
    values = torch.as_tensor(value)
    return value if values.dim() == 0 else values[part]


def joined(parts: Sequence[Relevance]) -> Relevance:
    """Join explanations of parts of a batch; their maps are used up, so that both never lie side by side."""
    taken = [dict(part.maps) for part in parts]
    for part in parts:
        part.maps.clear()  # type: ignore[attr-defined]
    return replace(
        parts[0],
        maps={name: torch.cat([maps.pop(name) for maps in taken]) for name in list(taken[0])},
        logits=torch.cat([part.logits for part in parts]),
        target=torch.cat([part.target for part in parts]),
        start=torch.cat([part.start for part in parts]),
        _ledger=lambda: _added([part.ledger for part in parts]),
    )


def _added(ledgers: Sequence[Table[LedgerRow]]) -> Table[LedgerRow]:
    sums = ("relevance_in", "relevance_out", "to_bias", "to_epsilon", "other", "magnitude")
    return Table(
        [
            replace(rows[0], **{name: sum(getattr(row, name) for row in rows) for name in sums})
            for rows in zip(*ledgers, strict=True)
        ]
    )
