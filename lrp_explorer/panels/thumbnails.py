"""A strip of small maps, one per layer: click one, or walk along with the arrow keys.

Maps travel as one byte per value; the browser paints them with one table of 256 colours. An update of a whole network
is a few tens of kilobytes, and the page around it does not move.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import traitlets

from lrp_explorer.errors import InputError
from lrp_explorer.figures import theme
from lrp_explorer.figures.scales import SIGNED, Scale
from lrp_explorer.panels.channel import LiveWidget, pack, source

ZERO = 128
LARGEST = 112
SHORT = 12
"""Characters of a label that stand below a picture; the whole label is its title and is read out."""


class ThumbnailStrip(LiveWidget):
    """Small pictures in a row, one of which can be selected.

    Parameters
    ----------
    size : int
        Width and height of each picture on the page, in pixels.
    description : str
        What the strip is for: read out by screen readers.

    Attributes
    ----------
    selected : int
        Index of the selected picture, −1 for none; set by a click or key in the browser, or from here.

    Examples
    --------
    >>> import numpy as np
    >>> strip = ThumbnailStrip(description="relevance of each layer")
    >>> strip.set([("conv1", "6 × 28 × 28", np.zeros((28, 28))), ("fc", "10", np.zeros((1, 10)))])
    >>> strip.selected = 1
    """

    _esm = source("channel.js", "thumbnails.js")
    _css = source("thumbnails.css")
    selected = traitlets.Int(-1)

    def __init__(self, size: int = 72, description: str = "", **kwargs: Any) -> None:
        if not 16 <= size <= 512:
            raise InputError(f"size is {size}; expected pixels, from 16 to 512")
        state = {"items": [], "size": size, "description": description, "table": SIGNED.strip_table().tobytes()}
        super().__init__({**state, "selected": -1, "view": "", "turn": 0}, **kwargs)
        self._receivers["select"] = self._select

    def set(self, items: Sequence[tuple[str, str, np.ndarray]], scale: Scale = SIGNED) -> None:
        """Show these pictures; where the labels stay the same, only the pixels change.

        Parameters
        ----------
        items : sequence of (label, caption, picture)
            Picture: floats `(height, width)` in [−1, 1], painted blue over white to red (beyond the ends they take the
            colours of the ends); or uint8 `(height, width, 3)`, shown as they are. Maps of more than 112 pixels are
            averaged down.
        scale : Scale
            Colours of the floats; those of an unsigned scale are in [0, 1], or negative where there is nothing.

        Raises
        ------
        InputError
            If a picture has another shape or type.
        """
        packed = [
            {
                "label": label,
                "short": theme.abbreviate(label, SHORT),
                "caption": caption,
                "picture": pack(_pixels(label, picture)),
            }
            for label, caption, picture in items
        ]
        self._publish(items=packed, table=scale.strip_table().tobytes())
        if self.selected >= len(packed):
            self.selected = len(packed) - 1

    @traitlets.validate("selected")
    def _within(self, proposal: dict[str, Any]) -> int:
        count = len(self._state["items"])
        if not -1 <= proposal["value"] < count:
            raise InputError(f"selected is {proposal['value']}; there are {count} pictures: expected -1 to {count - 1}")
        return proposal["value"]

    @traitlets.observe("selected")
    def _show_selected(self, change: dict[str, Any]) -> None:
        index = change["new"]
        self._amend("select", {"selected": index}, lambda state: state.update(selected=index))

    def _select(self, content: dict[str, Any]) -> None:
        # A click may refer to pictures that have been replaced since.
        if 0 <= content["index"] < len(self._state["items"]):
            self.selected = content["index"]
        # Keys may come faster than answers: the browser follows us again once its last choice is answered.
        answer = {"selected": self.selected, "view": content["view"], "turn": content["turn"]}
        self._amend("select", answer, lambda state: state.update(answer))


def _pixels(label: str, picture: np.ndarray) -> np.ndarray:
    picture = np.asarray(picture)
    if picture.ndim == 3 and picture.shape[2] == 3 and picture.dtype == np.uint8 and picture.size:
        return picture
    if picture.ndim != 2 or picture.dtype.kind != "f" or not picture.size:
        raise InputError(
            f"the picture of {label!r} is {picture.dtype} of shape {picture.shape}; expected floats (height, width) in "
            "[-1, 1], or uint8 (height, width, 3)"
        )
    steps = np.rint(np.clip(np.nan_to_num(_reduced(picture)), -1, 1) * (255 - ZERO))
    return (steps + ZERO).astype(np.uint8)


def _reduced(values: np.ndarray) -> np.ndarray:
    """Average blocks until neither side is longer than `LARGEST`; the sign of what is seen stays that of the sum."""
    block = -(-max(values.shape) // LARGEST)
    if block == 1:
        return values
    height, width = (-(-side // block) for side in values.shape)
    padded = np.pad(values, ((0, height * block - values.shape[0]), (0, width * block - values.shape[1])), "edge")
    return padded.reshape(height, block, width, block).mean(axis=(1, 3))
