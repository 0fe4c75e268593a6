"""Counts that follow the threshold: when a pass keeps the examples that they need, and what that takes."""

from __future__ import annotations

from collections.abc import Iterable

from lrp_explorer.analyses.reductions import SAMPLE
from lrp_explorer.panels.mask_state import MaskRequest

KEEP = "vote(1)"
"""A reduction for whose sake a pass keeps examples; it is not shown."""

MOST_BYTES = 2**30
"""Of memory that counts at every threshold may take."""

ANEW = "count follows θ by single examples, which are not kept on disk: these masks are computed anew each time"


def wanted(request: MaskRequest) -> bool:
    """Tell whether counts can follow the threshold: only with Bottleneck are they those of Boolean relevance there."""
    return "count" in request.reductions and request.semiring == "bottleneck"


def kept(request: MaskRequest) -> bool:
    """Tell whether another reduction that was asked for keeps examples anyhow."""
    return any(name.startswith(("vote", "quantile")) for name in request.reductions)


def follow(request: MaskRequest, beside: tuple[str, ...]) -> bool:
    """Tell whether counts follow the threshold in a pass that folds some reductions beside those asked for."""
    return wanted(request) and (kept(request) or KEEP in beside)


def memory(request: MaskRequest, neurons: int, classes: int, examples: int) -> int:
    """Give the bytes that counts at every threshold need.

    Parameters
    ----------
    request : MaskRequest
        What is asked for.
    neurons : int
        Size of the layer.
    classes : int
        Number of rows.
    examples : int
        Length of the data set.
    """
    # What is folded may grow to three samples; what is read is a copy of one. A value has four bytes.
    folded = min(examples, classes * min(request.limit or 3 * SAMPLE, 3 * SAMPLE))
    read = min(examples, classes * min(request.limit or SAMPLE, SAMPLE))
    return 4 * neurons * (folded + read)


def too_much(needs: int) -> str:
    """Say that counts do not follow the threshold, and what to do."""
    return (
        f"count does not follow θ: single examples would take up to {needs / 2**30:.1f} GiB; take fewer examples or "
        "classes"
    )


def told(notes: Iterable[str], request: MaskRequest) -> tuple[str, ...]:
    """Give the notes on masks in terms of what the user has asked for."""
    hidden = "" if KEEP in request.reductions else f"{KEEP} "
    found = [f"count {note[len(hidden) :]}" if hidden and note.startswith(hidden) else note for note in notes]
    return tuple(dict.fromkeys(found))
