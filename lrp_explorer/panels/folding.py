"""A layer of one example as it is drawn: without the batch, and with at most three axes."""

from __future__ import annotations

from math import prod


def single(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Leave out the batch of a layer that was computed for one example.

    Parameters
    ----------
    shape : tuple of int
        Shape of the layer. The batch may be any axis: attention written with tokens first has `(tokens, 1, features)`.
        It may have been joined with another axis, too, as windows are: `(windows, tokens, features)` is all there is.

    Returns
    -------
    tuple of int
        At least one axis. All numbers of the layer belong to the one example, so as many are left.
    """
    batch = shape.index(1) if 1 in shape else None
    return tuple(n for axis, n in enumerate(shape) if axis != batch) or (1,)


def folded(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Fold a layer to the shapes that can be drawn; its numbers keep their order in memory.

    Parameters
    ----------
    shape : tuple of int
        Shape of the layer, computed for one example, with its batch.

    Returns
    -------
    tuple of int
        As `lrp_explorer.figures.layers.summed_axis` takes it: `(neurons,)`, `(tokens, features)` or
        `(channels, height, width)`. What has more axes is a map over its last two, groups and time among the channels;
        it is a list of tokens where the last axis alone differs from the two before it (places, then channels), or
        where there are five axes and more (windows of windows). Windows that were joined with the batch are tokens.
    """
    left = single(shape)
    if len(left) == len(shape) == 3:
        return prod(left[:2]), left[2]
    if len(left) > 3 and left[-2:] == (1, 1):
        return prod(left), 1, 1
    while len(left) > 3 and 1 in left:
        left = single(left)
    if len(left) <= 3:
        return left
    *_, depth, height, width = left
    if height != width and (len(left) > 4 or depth == height):
        return prod(left[:-1]), width
    return prod(left[:-2]), height, width
