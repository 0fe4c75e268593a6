"""FLOOR 3: other ways to explain the same decision, in the same form as LRP, to be shown beside it.

``names()`` lists them and ``get(name)`` gives one's class; `attribute` runs one. A method is data: a frozen dataclass
of checked parameters, called with a `Case` (one batch of one model, ready to be differentiated).
"""

from lrp_explorer.baselines.attribution import attribute
from lrp_explorer.baselines.case import Case
from lrp_explorer.baselines.grad_cam import GradCAM
from lrp_explorer.baselines.gradients import InputXGradient, Saliency, Sensitivity
from lrp_explorer.baselines.integrated_gradients import IntegratedGradients
from lrp_explorer.baselines.method import Method, build, get, names
from lrp_explorer.baselines.taylor import DeepTaylor, SimpleTaylor

__all__ = [
    "Case",
    "DeepTaylor",
    "GradCAM",
    "InputXGradient",
    "IntegratedGradients",
    "Method",
    "Saliency",
    "Sensitivity",
    "SimpleTaylor",
    "attribute",
    "build",
    "get",
    "names",
]
