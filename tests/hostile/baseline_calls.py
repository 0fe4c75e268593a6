"""The methods compared with."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from hostile.call import GARBAGE, INF, NAN, OBJECT, Call, over

import lrp_explorer as lrp
from lrp_explorer import baselines


def attributions() -> Iterator[Call]:
    attribute = lambda w, method, **more: lrp.attribute(w.model, w.x, method, device="cpu", **more)  # noqa: E731
    bad = ("grad-camm", "", "☃", 3, None, True, baselines.Saliency, *GARBAGE)
    yield from over("attribute: method", attribute, *bad, words=("method|baseline",))
    steps = lambda w, v: attribute(w, "integrated-gradients", steps=v)  # noqa: E731
    yield from over("steps", steps, 0, -1, 1.5, NAN, True, "9", None, OBJECT, words=("steps",))
    begin = lambda w, v: attribute(w, "integrated-gradients", baseline=v)  # noqa: E731
    yield from over(
        "baseline", begin, NAN, INF, "x", None, True, [1.0, 2.0], torch.zeros(5), OBJECT, words=("baseline|bound",)
    )
    layer = lambda w, v: attribute(w, "grad-cam", layer=v)  # noqa: E731
    yield from over("grad-cam: layer", layer, "heads", "head", "", 3, True, OBJECT, words=("layer",))
    yield Call("attribute: no parameter", lambda w: attribute(w, "saliency", step=3), ("step", "saliency|Known"))
    beside = lambda w: attribute(w, baselines.Saliency(), steps=3)  # noqa: E731
    yield Call("attribute: beside an object", beside, ("steps", "Saliency"))
    yield from over(
        "attribute: target", lambda w, v: attribute(w, "saliency", target=v), 5, True, "x", 1.5, words=("target",)
    )
