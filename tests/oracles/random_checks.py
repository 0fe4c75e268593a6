"""What holds of every network: its own logits, untouched weights, a ledger that adds up, and LRP-0."""

from __future__ import annotations

import copy
import warnings

import torch
from oracles.random_nets import ROUNDING, Case
from oracles.side_by_side import zero_of

import lrp_explorer as lrp


def check(case: Case) -> lrp.Session:
    """Explain one network in every way that is checked; raise AssertionError where something does not hold."""
    net, x = case.net, case.x
    before = {name: value.clone() for name, value in net.state_dict().items()}
    modes = [module.training for module in net.modules()]
    with torch.no_grad():
        logits = copy.deepcopy(net).eval()(x)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*training mode")
        session = lrp.Session(net, x, device="cpu")
        relevance = session.relevance(target=1)
        scale = float(logits.abs().max()) + 1e-3
        _same("logits", session.logits, logits, ROUNDING[x.dtype] * scale)
        assert bool(torch.isfinite(relevance.input).all()), "relevance is not finite"
        _adds_up(relevance, ROUNDING[x.dtype])
        if case.piecewise_linear:
            found = session.relevance(target=1, composite=zero_of(session))
            leaf = x.clone().requires_grad_()
            (gradient,) = torch.autograd.grad(copy.deepcopy(net).eval()(leaf)[:, 1].sum(), leaf)
            wanted = gradient * x
            _same("LRP-0", found.input, wanted, 1e-10 * max(float(wanted.abs().max()), scale))
            _adds_up(found, 1e-9)
    after = net.state_dict()
    changed = [name for name, value in before.items() if not torch.equal(value, after[name])]
    assert not changed, f"changed: {changed}"
    assert modes == [module.training for module in net.modules()], "the mode is another"
    assert all(parameter.grad is None for parameter in net.parameters()), "gradients were left behind"
    return session


def _same(what: str, found: torch.Tensor, wanted: torch.Tensor, tolerance: float) -> None:
    error = float((found - wanted).abs().max())
    assert found.dtype == wanted.dtype, f"{what} in {found.dtype}, expected {wanted.dtype}"
    assert error <= tolerance, f"{what} differ by {error:.3g}, allowed are {tolerance:.3g}"


def _adds_up(relevance: lrp.Relevance, tolerance: float) -> None:
    for row in relevance.ledger:
        missing = row.relevance_in - row.relevance_out - row.to_bias - row.to_epsilon - row.other
        assert abs(missing) <= tolerance * max(abs(row.relevance_in), row.magnitude, 1e-12), row
