"""How far the rules of transformers are from lxt's: the table of docs/exactness.md.

    pip install -e ".[test,lxt]"
    python tests/compat/compare_lxt.py

In float64, with random weights. lxt adds ε without a sign, S(z) = z + ε; its functions are called with ε = 0 where
they let one choose. Each number is the largest difference over the largest relevance.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torchvision.models import vision_transformer

sys.path.insert(0, str(Path(__file__).parents[1]))

from oracles.small import small

import lrp_explorer as lrp
from lrp_explorer import rules
from lrp_explorer.composites import Uniform

ZERO = Uniform(rules.Zero(stabilizer=0.0))


class Layers(nn.Module):
    """A dense layer, something made of its outputs, and a head."""

    def __init__(self, function: Callable[[Any, Tensor], Tensor]) -> None:
        super().__init__()
        self.first, self.head, self.function = nn.Linear(5, 8), nn.Linear(24, 3), function
        self.second, self.norm, self.rms = nn.Linear(8, 24), nn.LayerNorm(8), nn.RMSNorm(8, eps=1e-5)
        for parameter in self.parameters():
            nn.init.normal_(parameter)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.function(self, self.first(x)).flatten(1))


def block(m: Layers, x: Tensor) -> Tensor:
    """Attention of three tokens written out."""
    q, k, v = m.second(x).chunk(3, -1)
    return torch.matmul(torch.matmul(q / 8**0.5, k.transpose(1, 2)).softmax(-1), v)


def by_functions() -> dict[str, tuple[Callable[[Any, Tensor], Tensor], Callable[[Any, Tensor], Tensor]]]:
    """What the model computes, and the same by lxt's functions, whose backward is relevance."""
    from lxt.explicit import functional as lf

    def dense(layer: nn.Linear, x: Tensor) -> Tensor:
        return lf.linear_epsilon(x, layer.weight, layer.bias, epsilon=0.0)

    def attention(m: Layers, x: Tensor) -> Tensor:
        # Scaling by a constant passes relevance, as mul2 does.
        q, k, v = dense(m.second, x).chunk(3, -1)
        scores = lf.matmul(lf.mul2(q, 8**-0.5), k.transpose(1, 2), epsilon=0.0)
        return lf.matmul(lf.softmax(scores, -1), v, epsilon=0.0)

    return {
        "softmax": (lambda m, x: x.softmax(-1), lambda m, x: lf.softmax(x, -1)),
        "layer norm": (
            lambda m, x: m.norm(x),
            lambda m, x: lf.layer_norm_grad_fn.apply(x, m.norm.weight, m.norm.bias, m.norm.eps, 0.0),
        ),
        "RMS norm": (lambda m, x: m.rms(x), lambda m, x: _in_double(lf.rms_norm_identity, m, x)),
        "attention block": (block, attention),
    }


def _in_double(function: Any, m: Layers, x: Tensor) -> Tensor:
    """lxt's RMS norm computes in float32; its relevance, R_j = R_k, does not depend on that, the layers above do."""
    found = function(x, m.rms.weight, m.rms.eps)
    return found + (m.rms(x) - found).detach()


def layer_by_layer() -> None:
    """Print how far single operations are from lxt's."""
    from lxt.explicit import functional as lf

    for name, (ours, theirs) in by_functions().items():
        torch.manual_seed(0)
        model, x = Layers(ours).double().eval(), torch.randn(2, 3, 5, dtype=torch.float64)
        session = lrp.Session(model, x, device="cpu")
        products = {n.name: rules.EqualSplit(0.0) for n in session.graph if n.kind == "matmul"}
        found = session.relevance(target=1, composite=ZERO.override(products))
        leaf = x.clone().requires_grad_()
        below = lf.linear_epsilon(leaf, model.first.weight, model.first.bias, epsilon=0.0)
        logits = lf.linear_epsilon(theirs(model, below).flatten(1), model.head.weight, model.head.bias, epsilon=0.0)
        start = torch.zeros_like(logits)
        start[:, 1] = logits[:, 1].detach()
        wanted = torch.autograd.grad(logits, leaf, start)[0]
        tell(name, found.input, wanted)


def whole(name: str, *, through_softmax: bool) -> None:
    """Print how far a whole ViT is from lxt's patched one, gradient × input."""
    from lxt.efficient import monkey_patch
    from lxt.efficient.models.vit_torch import cp_LRP
    from lxt.efficient.patches import patch_method
    from lxt.efficient.rules import divide_gradient

    model, x = small("ViT")
    session = lrp.Session(model, x, device="cpu")
    target = session.logits.argmax(1)
    attention = rules.Attention(stabilizer=0.0, through_softmax=through_softmax)
    composite = ZERO.override({node.name: attention for node in session.graph if node.kind == "attention"})
    found = session.relevance(target=target, composite=composite).input

    def halved(self: Any, query: Tensor, key: Tensor, value: Tensor, *args: Any, **kwargs: Any) -> Any:
        # As lxt's own wrapper of attention functions; for torchvision it ships CP-LRP only.
        parts = divide_gradient(query, 4), divide_gradient(key, 4), divide_gradient(value, 2)
        return self.original_forward(*parts, *args, **kwargs)

    patches = dict(cp_LRP)
    if through_softmax:
        patches[nn.MultiheadAttention] = partial(patch_method, halved, keep_original=True)
    kept = {kind: kind.forward for kind in patches}
    try:
        monkey_patch(vision_transformer, patches)
        leaf = x.clone().requires_grad_()
        model.requires_grad_()
        wanted = x * torch.autograd.grad(model(leaf).gather(1, target[:, None]).sum(), leaf)[0]
    finally:
        for kind, forward in kept.items():
            kind.forward = forward
    tell(name, found, wanted)


def tell(name: str, found: Tensor, wanted: Tensor) -> None:
    """Print one row, and fail beyond 1e-6."""
    error = float((found - wanted).abs().max() / wanted.abs().max())
    print(f"| {name} | {error:.1e} |", flush=True)
    assert error <= 1e-6, name


if __name__ == "__main__":
    print(f"lxt {version('lxt')}, torch {torch.__version__}")
    layer_by_layer()
    whole("torchvision ViT, AttnLRP", through_softmax=True)
    whole("torchvision ViT, CP-LRP", through_softmax=False)
