"""Card with one mask large, beside the mean image of the same examples and the difference."""

from __future__ import annotations

from dataclasses import replace

import ipywidgets
import numpy as np

from lrp_explorer.analyses.mean_image import MeanImages
from lrp_explorer.figures import mask_views
from lrp_explorer.panels import frame
from lrp_explorer.panels.drawing import Drawing
from lrp_explorer.panels.mask_reading import View


class MaskLarge:
    """The mask that is selected in the grid."""

    def __init__(self) -> None:
        self.drawing = Drawing(200, "One mask", "click a mask to enlarge it")
        self.card: ipywidgets.VBox = frame.card([self.drawing.heading, self.drawing.pane], "large")

    def show(self, view: View, place: tuple[int, int], images: MeanImages | None) -> None:
        """Draw one mask.

        Parameters
        ----------
        view : View
            The grid.
        place : (int, int)
            Places of the reduction and of the class.
        images : MeanImages or None
            Mean images of the same examples, where they are known.
        """
        row, column = place
        cells, shape = view.cells, view.masks.arrays[view.request.layer, view.cells.reductions[row]].shape
        large = mask_views.Large(
            values=cells.values[row][column],
            scale=cells.scale_of(row),
            limit=cells.limit_of(row),
            count=cells.counts[column],
            level=_decided(view, place),
            image=_image(view, column, images),
            unit="channel" if cells.bars and len(shape) == 4 and shape[2:] != (1, 1) else "neuron",
        )
        self.drawing.show(
            (mask_views.structure(large), cells.bars),
            lambda: mask_views.large(large),
            mask_views.restyle(large),
            large.describe(),
        )
        detail = " · ".join(filter(None, [f"n = {large.count}", _threshold(view, place)]))
        self.drawing.heading.value = frame.heading(f"{cells.names[column]} · {cells.reductions[row]}", detail)


def _threshold(view: View, place: tuple[int, int]) -> str:
    """Say what is compared, and why nothing is to be seen where nothing is."""
    row, column = place
    criterion, level = view.masks.criterion, view.level(row, column)
    if criterion.theta is not None:
        criterion = replace(criterion, theta=float(f"{criterion.theta:.3g}"))
    if view.cells.reductions[row] == "count":
        return criterion.describe()
    if view.cells.kinds[row] == "number":
        return ""
    if level is None or view.cells.values[row][column].any():
        return criterion.describe()
    known = level[np.isfinite(level)]
    if not known.size or (not criterion.cost and not known.max() > 0):
        return "empty at every θ"
    best = f"below {known.min():.3g}" if criterion.cost else f"above {known.max():.3g}"
    return f"{criterion.describe()}: empty, as at every θ {best}"


def _decided(view: View, place: tuple[int, int]) -> np.ndarray | None:
    """Give what decides a map of truth values, of its strongest channel."""
    level = view.level(*place)
    if level is None or view.cells.bars or level.ndim != 3:
        return None
    return level.min(0) if view.masks.criterion.cost else level.max(0)


def _image(view: View, column: int, images: MeanImages | None) -> np.ndarray | None:
    chosen = view.masks.classes[column]
    if images is None or view.request.layer != "input" or view.cells.bars or chosen not in images.classes:
        return None
    image = images.of(chosen)
    image = image.mean(0) if image.ndim == 3 else image
    return image if image.shape == view.cells.values[0].shape[1:] else None
