"""Integrated gradients, computed by captum, and how far their sum can be trusted."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import torch

from lrp_explorer.baselines.answer import answer
from lrp_explorer.baselines.case import Case, captum_attr
from lrp_explorer.baselines.method import Method, baseline
from lrp_explorer.engine.devices import full_precision
from lrp_explorer.errors import InputError
from lrp_explorer.graph import INPUT
from lrp_explorer.rules import Bound
from lrp_explorer.rules.base import check_count

if TYPE_CHECKING:
    from torch import Tensor

    from lrp_explorer.results import Relevance

# Sundararajan et al. 2017, sec. 5: steps are enough when the sum is within 5 % of the difference.
_COMPLETE = 0.05


@baseline("integrated-gradients")
@dataclass(frozen=True)
class IntegratedGradients(Method):
    """Gradient averaged on the straight way from a baseline to the input, times that way.

    Sundararajan et al. 2017 (arXiv:1703.01365), eq. 1, by Gauss-Legendre quadrature. In theory the sum is
    f(x) − f(baseline), which is what ``rel.start`` holds: ``rel.start.sum(1) - rel.sums()["input"]`` is the error of
    completeness, and a warning tells when it is large. Captum holds the quadrature's weights in single precision, so
    completeness is not better than about 1e-7 of the sum, in float64 too.

    Parameters
    ----------
    steps : int
        Points on the way, at least 1.
    baseline : float, sequence of float or Tensor
        Where the way begins, in the model's own (normalised) units: one number, one per channel, or one per input.
        A black picture is not 0 there, but ``model.input_bounds[0]`` of a model from the zoo.
    at_once : int
        Points computed together, at least 1; bounds the memory. Never fewer than the batch.

    Warns
    -----
    UserWarning
        When the error of completeness is above 5 % of f(x) − f(baseline).
    """

    steps: int = 50
    baseline: float | Sequence[float] | Tensor | Bound = 0.0
    at_once: int = 16
    formula: ClassVar[str] = "R_i = (x_i − b_i) · ∫₀¹ ∂f/∂x_i (b + t (x − b)) dt"

    def __post_init__(self) -> None:
        check_count(self, "steps")
        check_count(self, "at_once")
        if not isinstance(self.baseline, Bound):
            try:
                object.__setattr__(self, "baseline", Bound(self.baseline))
            except (TypeError, ValueError, RuntimeError) as error:
                raise _misfit(self.baseline) from error

    def __call__(self, case: Case) -> Relevance:
        """Explain a batch."""
        target, batch = case.target, len(case.x)
        assert isinstance(self.baseline, Bound)
        try:
            begin = self.baseline.like(case.x).expand_as(case.x).contiguous()
        except InputError as error:
            raise _misfit(self.baseline, f" for inputs of shape {tuple(case.x.shape[1:])}") from error
        # A graph whose batch size is fixed by the model's code takes one point of each example at a time.
        together = batch if case.graph.batch is not None else max(batch, self.at_once)
        with case.differentiating() as x:
            found = (
                captum_attr()
                .IntegratedGradients(case.replay)
                .attribute(x, baselines=begin, target=target, n_steps=self.steps, internal_batch_size=together)
            )
        with torch.no_grad(), full_precision():
            ground = case.chosen(case.replay(begin))
        found = found.detach().to(case.x)
        _tell_incomplete(self, found, case.score, ground)
        return answer(self, case, {INPUT: found}, seed="difference", start=case.score - ground)


def _misfit(value: object, why: str = "") -> InputError:
    return InputError(
        f"IntegratedGradients: baseline is {value!r}{why}, but finite numbers are expected: one, one per channel, or "
        "one per input"
    )


def _tell_incomplete(method: Method, found: Tensor, score: Tensor, ground: Tensor) -> None:
    difference = (score - ground).double()
    error = (difference - found.flatten(1).double().sum(1)).abs()
    # Where the two scores are equal, rounding alone would be a large share of nothing.
    rounding = torch.finfo(score.dtype).eps ** 0.5 * (score.abs() + ground.abs()).double()
    bad = (error > _COMPLETE * difference.abs() + rounding).nonzero()[:, 0].tolist()
    if bad:
        worst = max(bad, key=lambda i: float(error[i]))
        warnings.warn(
            f"{method!r}: the sum misses f(x) − f(baseline) by more than {_COMPLETE:.0%} for example(s) "
            f"{', '.join(map(str, bad[:10]))}{' …' if len(bad) > 10 else ''}; worst for example {worst}, by "
            f"{error[worst]:.3g} of {difference[worst]:.3g}. Take more steps",
            UserWarning,
            stacklevel=4,
        )
