"""zennit as an oracle: its five composites, at the input and one layer in between, on networks of awake weights."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from zennit import composites as zennit
from zennit.core import Composite
from zennit.torchvision import ResNetCanonizer

import lrp_explorer as lrp

LOW, HIGH = (-2.1, -2.0, -1.8), (2.2, 2.4, 2.6)
COMPOSITES = {
    "epsilon-gamma-box": (lrp.composites.EpsilonGammaBox(LOW, HIGH), zennit.EpsilonGammaBox),
    "epsilon-plus": (lrp.composites.EpsilonPlus(), zennit.EpsilonPlus),
    "epsilon-plus-flat": (lrp.composites.EpsilonPlusFlat(), zennit.EpsilonPlusFlat),
    "epsilon-alpha2-beta1": (lrp.composites.EpsilonAlpha2Beta1(), zennit.EpsilonAlpha2Beta1),
    "epsilon-alpha2-beta1-flat": (lrp.composites.EpsilonAlpha2Beta1Flat(), zennit.EpsilonAlpha2Beta1Flat),
}


def awake(model: nn.Module) -> nn.Module:
    """Fill in weights that let activations neither fade nor grow, biases and batch norm statistics that count."""
    torch.manual_seed(7)
    model = model.to_empty(device="cpu").double()
    for module in model.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            if module.bias is not None:
                nn.init.normal_(module.bias, std=0.1)
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, std=0.2)
            nn.init.normal_(module.running_mean, std=0.3)
            nn.init.uniform_(module.running_var, 0.5, 2.0)
            module.num_batches_tracked.zero_()
    return model.eval().requires_grad_(False)


def image(edge: int, batch: int = 2) -> Tensor:
    """Draw normalised pixels between the bounds ``(batch, 3, edge, edge)``."""
    source = torch.Generator().manual_seed(7)
    return torch.randn(batch, 3, edge, edge, dtype=torch.float64, generator=source).clamp(-1.8, 2.2)


@contextmanager
def merged(model: nn.Module, composite: Composite) -> Iterator[nn.Module]:
    """Register zennit's composite, with the batch norms that it merged made exact identities.

    Up to 0.5.1 a merged batch norm keeps its eps and divides by √(1 + eps) once more; later versions set it to 0.
    """
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    kept = [norm.eps for norm in norms]
    with composite.context(model) as modified:
        for norm in norms:
            norm.eps = 0.0
        try:
            yield modified
        finally:
            for norm, eps in zip(norms, kept, strict=True):
                norm.eps = eps


def by_zennit(model: nn.Module, x: Tensor, target: Tensor, name: str, layer: str) -> tuple[Tensor, ...]:
    """Relevance of the input, and of the output neurons of one module in between, by the composite called `name`."""
    low, high = (torch.tensor(bound, dtype=x.dtype).view(1, -1, 1, 1) for bound in (LOW, HIGH))
    bounds = {"low": low, "high": high} if name == "epsilon-gamma-box" else {}
    # On networks without residual blocks this canonizer does nothing but merge batch norms.
    composite = COMPOSITES[name][1](**bounds, canonizers=[ResNetCanonizer()])
    seen: list[Tensor] = []
    x = x.clone().requires_grad_()
    with merged(model, composite) as modified:
        handle = modified.get_submodule(layer).register_forward_hook(lambda module, a, out: seen.append(out))
        logits = modified(x)
        handle.remove()
        start = torch.zeros_like(logits).scatter(1, target[:, None], logits.detach().gather(1, target[:, None]))
        return torch.autograd.grad(logits, [x, seen[0]], start)
