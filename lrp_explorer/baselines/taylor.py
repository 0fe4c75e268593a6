"""Taylor decomposition: of the whole function at a root point, and layer by layer."""

from __future__ import annotations

import dataclasses
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor

from lrp_explorer import composites
from lrp_explorer.baselines.answer import answer
from lrp_explorer.baselines.case import Case
from lrp_explorer.baselines.method import Method, baseline
from lrp_explorer.baselines.roots import first_root
from lrp_explorer.engine import explain
from lrp_explorer.errors import InputError
from lrp_explorer.graph import INPUT
from lrp_explorer.rules import Bound
from lrp_explorer.rules.base import check_count, check_number

if TYPE_CHECKING:
    from lrp_explorer.composites.presets import Bounds
    from lrp_explorer.results import Relevance

# Above this share of |f(x)|, what is left at the expansion point is more than rounding.
_ROOT = 1e-3


@baseline("simple-taylor")
@dataclass(frozen=True)
class SimpleTaylor(Method):
    """First-order Taylor expansion of the logit at a root point x0 near x, where f(x0) = 0.

    Bach et al. 2015 (doi:10.1371/journal.pone.0130140), sec. "Taylor-type decomposition"; Montavon et al. 2018
    (doi:10.1016/j.dsp.2017.10.011), sec. 4.2. Both leave the choice of the root open and ask for one close to x. Here
    it is the first one on the straight way from x along the gradient, downhill for a positive logit and uphill for a
    negative one. For a linear f that is the nearest root of all, and R_i = f(x) · w_i² / Σ w². Elsewhere a nearer one
    may lie off that way, and the root need not be a valid picture.

    ``rel.start`` holds f(x): ``rel.start.sum(1) - rel.sums()["input"]`` is what the expansion leaves unexplained, by
    its higher orders and, where no root was found, by f(x0).

    Parameters
    ----------
    reach : float
        Length of the searched way, in steps of Newton's method from x (|f| / ‖∇f‖ each); above 0.
    samples : int
        Points of the way at which a change of sign is looked for, at least 1.

    Warns
    -----
    UserWarning
        Names the examples without a root on the way; they are expanded at its point of smallest |f|.
    """

    reach: float = 10.0
    samples: int = 50
    formula: ClassVar[str] = "R_i = ∂f/∂x_i (x0) · (x_i − x0_i), f(x0) = 0"

    def __post_init__(self) -> None:
        check_number(self, "reach", 0.0)
        check_count(self, "samples")
        if self.reach == 0:
            raise InputError("SimpleTaylor: reach is 0, but the searched way must have a length above 0")

    def __call__(self, case: Case) -> Relevance:
        """Explain a batch."""
        score = case.score
        with case.differentiating() as x:
            slope = _slope(case, x)
            norm = slope.flatten(1).square().sum(1)
            # A flat place has no direction to search in: the point stays where it is, and that is told.
            step = _columns(torch.where(norm > 0, score / norm, 0.0), x) * slope

            def along(length: Tensor) -> Tensor:
                return case.x - _columns(length, x) * step

            with torch.no_grad():
                found = first_root(lambda t: case.chosen(case.replay(along(t))), score, self.reach, self.samples)
            root = along(found.at).requires_grad_()
            relevance = _slope(case, root) * (case.x - root.detach())
        _tell_missed(self, found.value, score)
        return answer(self, case, {INPUT: relevance}, seed="logit")


def _slope(case: Case, x: Tensor) -> Tensor:
    return torch.autograd.grad(case.chosen(case.replay(x)).sum(), x)[0]


def _columns(values: Tensor, like: Tensor) -> Tensor:
    """Shape one value per example so that it multiplies a batch."""
    return values.reshape(-1, *[1] * (like.dim() - 1))


def _tell_missed(method: SimpleTaylor, left: Tensor, score: Tensor) -> None:
    missed = (left.abs() > _ROOT * score.abs()).nonzero()[:, 0].tolist()
    if missed:
        shown = ", ".join(f"{i} (f(x) = {score[i]:.3g}, f(x0) = {left[i]:.3g})" for i in missed[:10])
        warnings.warn(
            f"{method!r}: the searched way holds no root of the logit for example(s) {shown}"
            f"{' …' if len(missed) > 10 else ''}; they are expanded at its point of smallest magnitude, which leaves "
            "f(x0) unexplained. Take a larger reach or more samples, or explain another class",
            UserWarning,
            stacklevel=4,
        )


@baseline("deep-taylor")
@dataclass(frozen=True)
class DeepTaylor(Method):
    """Deep Taylor decomposition, by LRP's rules: zᴮ for the first layer, z⁺ for all others.

    Montavon et al. 2017 (doi:10.1016/j.patcog.2016.11.008); see `lrp_explorer.composites.DeepTaylor`, which does the
    work, so that every layer has its relevance and the ledger is there.

    Parameters
    ----------
    low, high : float, sequence of float or Tensor, or None
        Bounds of the input, see `lrp_explorer.rules.ZBox`; both None are the model's own ``input_bounds``.
    epsilon : float
        ε ≥ 0 of every denominator.
    """

    low: Bounds | Tensor | None = None
    high: Bounds | Tensor | None = None
    epsilon: float = 1e-6
    formula: ClassVar[str] = "zᴮ for the first layer, z⁺ for all others"

    def __post_init__(self) -> None:
        check_number(self, "epsilon", 0.0)
        if (self.low is None) != (self.high is None):
            raise InputError(
                f"DeepTaylor: low is {self.low!r} and high is {self.high!r}, but both are expected, or none"
            )
        if self.low is not None and self.high is not None:
            composite = composites.DeepTaylor(self.low, self.high, self.epsilon)
            object.__setattr__(self, "low", composite.low)
            object.__setattr__(self, "high", composite.high)

    def __call__(self, case: Case) -> Relevance:
        """Explain a batch."""
        if isinstance(self.low, Bound) and isinstance(self.high, Bound):
            composite = composites.DeepTaylor(self.low, self.high, self.epsilon)
        else:
            own = composites.build("deep-taylor", getattr(case.model, "input_bounds", None))
            composite = dataclasses.replace(own, epsilon=self.epsilon)  # type: ignore[call-arg]
        return explain(case.model, case.x, case.wanted, composite, device=case.device)
