"""Baselines made of gradients at the input, computed by captum."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from lrp_explorer.baselines.answer import answer
from lrp_explorer.baselines.case import Case, captum_attr
from lrp_explorer.baselines.method import Method, baseline
from lrp_explorer.graph import INPUT

if TYPE_CHECKING:
    from torch import Tensor

    from lrp_explorer.results import Relevance


@baseline("saliency")
@dataclass(frozen=True)
class Saliency(Method):
    """Magnitude of the gradient, for every channel of its own.

    Simonyan et al. 2014 (arXiv:1312.6034), sec. 3 (there followed by the maximum over channels).
    """

    formula: ClassVar[str] = "R_i = |∂f/∂x_i|"

    def __call__(self, case: Case) -> Relevance:
        """Explain a batch."""
        return answer(self, case, {INPUT: _gradient(case).abs()})


@baseline("sensitivity")
@dataclass(frozen=True)
class Sensitivity(Method):
    """Squared gradient: shares of ‖∇f‖², of what makes the score change, not of the score itself.

    Montavon et al. 2018 (doi:10.1016/j.dsp.2017.10.011), sec. 4.1.
    """

    formula: ClassVar[str] = "R_i = (∂f/∂x_i)²"

    def __call__(self, case: Case) -> Relevance:
        """Explain a batch."""
        return answer(self, case, {INPUT: _gradient(case).square()})


@baseline("input-x-gradient")
@dataclass(frozen=True)
class InputXGradient(Method):
    """Input times gradient; LRP-0 is equal to it for networks of linear layers, ReLUs and max pooling.

    The sum falls short of the logit by what the biases hold. Shrikumar et al. 2016 (arXiv:1605.01713).
    """

    formula: ClassVar[str] = "R_i = x_i · ∂f/∂x_i"

    def __call__(self, case: Case) -> Relevance:
        """Explain a batch."""
        target = case.target
        with case.differentiating() as x:
            found = captum_attr().InputXGradient(case.replay).attribute(x, target=target)
        return answer(self, case, {INPUT: found}, seed="logit")


def _gradient(case: Case) -> Tensor:
    target = case.target
    with case.differentiating() as x:
        return captum_attr().Saliency(case.replay).attribute(x, target=target, abs=False)
