"""Grad-CAM: a coarse map of the last layer that still has the picture's axes, computed by captum."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

from lrp_explorer.baselines.answer import answer
from lrp_explorer.baselines.case import Case, captum_attr
from lrp_explorer.baselines.method import Method, baseline
from lrp_explorer.baselines.picture import last_map
from lrp_explorer.errors import InputError
from lrp_explorer.graph import INPUT, Graph

if TYPE_CHECKING:
    from lrp_explorer.results import Relevance

_INTERPOLATION = {3: "linear", 4: "bilinear", 5: "trilinear"}


@baseline("grad-cam")
@dataclass(frozen=True)
class GradCAM(Method):
    """Channels of one layer, weighted by the mean gradient of each and summed.

    Selvaraju et al. 2017 (arXiv:1610.02391), eq. 1 and 2. ``rel[layer]`` is the map itself,
    ``(batch, 1, height, width)`` of the layer's size; ``rel.input`` is the map interpolated linearly to the input's
    size, the same in every channel. The values do not add up to the logit.

    Parameters
    ----------
    layer : str or None
        Layer whose output ``(batch, channels, height, width)`` is weighted, as the layer gives it: of a convolution,
        before batch norm and ReLU. None is the last map that everything flows through before the picture's axes are
        averaged over or flattened, after its activation, sum or concatenation (`picture.last_map`): of a ResNet
        ``"layer4"``, of GoogLeNet ``"inception5b"``, of VGG ``"avgpool"``, which at the published size leaves the last
        max pooling's map as it is. ``rel.composite`` names the one that was taken. It is the layer that torchcam
        chooses, too, in every family of torchvision's classifiers.
    relu : bool
        Whether negative values are set to 0, as in the paper.
    """

    layer: str | None = None
    relu: bool = True
    formula: ClassVar[str] = "R_p = max(0, Σ_c mean_q(∂f/∂a_cq) · a_cp)"

    def __post_init__(self) -> None:
        if self.layer is not None and not isinstance(self.layer, str):
            raise InputError(f"GradCAM: layer is {self.layer!r}, but a layer's name or None is expected")
        if not isinstance(self.relu, bool):
            raise InputError(f"GradCAM: relu is {self.relu!r}, but True or False is expected")

    def __call__(self, case: Case) -> Relevance:
        """Explain a batch."""
        # Asking for the target has run the model, so the shapes are known.
        target = case.target
        layer = self._layer(case)
        network = case.network(watch=layer)
        with case.differentiating(f"layer {layer!r}") as x:
            attr = captum_attr()
            found = attr.LayerGradCam(network, network.watched).attribute(x, target, relu_attributions=self.relu)
            size, mode = tuple(x.shape[2:]), _INTERPOLATION[x.dim()]
            grown = attr.LayerAttribution.interpolate(found.detach(), size, interpolate_mode=mode)
        whole = grown.expand_as(case.x).contiguous()
        shown = replace(self, layer=outermost(case.graph, layer)) if self.layer is None else self
        return answer(shown, case, {INPUT: whole} if layer == INPUT else {INPUT: whole, layer: found})

    def _layer(self, case: Case) -> str:
        """Name of the layer; `InputError` if its output is not a map over the input's axes."""
        shapes, rank = case.replay.shapes, case.x.dim()
        if rank not in _INTERPOLATION:
            raise InputError(
                f"Grad-CAM needs an input with one to three axes beside batch and channels, but x has shape "
                f"{tuple(case.x.shape)}; use another method"
            )
        if self.layer is None:
            found = last_map(case.graph)
            if found is None:
                raise InputError(
                    f"Grad-CAM needs a layer with a map, but {type(case.model).__name__} has none that everything "
                    f"flows through: no convolution, or what follows one has a single position, other axes than the "
                    f"input's {rank}, or branches beside it; name a layer by layer=…, or use another method"
                )
            return found
        name = case.graph.resolve(self.layer)
        if len(shapes.get(name, ())) != rank:
            raise InputError(
                f"layer {self.layer!r} has output of shape {tuple(shapes.get(name, ()))}, but Grad-CAM needs a map "
                f"over the input's axes (batch, channels, …) with {rank} axes in all; name a convolution"
            )
        return name


def outermost(graph: Graph, layer: str) -> str:
    """Name of the outermost module whose output a layer's is; its own where there is none."""
    modules = [name for name, last in graph.aliases.items() if last == layer]
    return min(modules, key=lambda name: (name.count("."), len(name)), default=layer)
