"""A whole network explained while it runs: every function that the model calls gets a backward of its own, its rule.

Nothing is traced or exported: PyTorch hands over each call, the value is computed as ever, and automatic
differentiation, which would have carried gradients, carries relevance. A first run finds out which batch norms belong
to which layer and who reads which sum. Functions without a rule here are refused.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from oracles import steps
from oracles.calls import Watch, depends, leaves
from torch import Tensor, nn

WEIGHTED = {"conv1d": "convolution", "conv2d": "convolution", "linear": "linear"}
RECTIFIERS = frozenset("relu relu6 hardtanh".split())
GATES = frozenset("sigmoid hardsigmoid".split())
PASSED = RECTIFIERS | GATES | set("silu hardswish gelu tanh leaky_relu elu normalize rms_norm".split())
MOVED = frozenset(
    "flatten reshape view permute transpose getitem chunk split unbind cat stack roll pad dropout contiguous unflatten "
    "unsqueeze squeeze swapaxes max_pool2d expand clone".split()
)
AVERAGED = frozenset("avg_pool2d adaptive_avg_pool2d mean".split())
OWN = {
    **dict.fromkeys(WEIGHTED, "weighted"),
    **dict.fromkeys(("matmul", "einsum"), "product"),
    **{name: name for name in ("add", "mul", "div", "softmax", "batch_norm", "layer_norm", "group_norm")},
    "scaled_dot_product_attention": "attention",
}
# ε of products of two values, in every composite.
PRODUCTS = 1e-6


@dataclass(frozen=True)
class Recipe:
    """Which rule serves which kind of layer.

    `first` replaces the rule of the first layer of the kinds it names, `size` is the ε of sums and averages, and sums
    are shared by signed values everywhere (`signed`) or only where nothing but ReLUs reads them.
    """

    convolution: steps.Step
    linear: steps.Step
    first: tuple[tuple[str, ...], steps.Step] | None = None
    size: float = 1e-6
    signed: bool = False


class _Rule(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, value: Tensor, back: Callable[[Tensor], tuple[Tensor, ...]], *inputs: Tensor) -> Tensor:
        ctx.back = back
        return value.clone()

    @staticmethod
    def backward(ctx: Any, *upper: Tensor) -> Any:
        return None, None, *ctx.back(*upper)


def attach(value: Tensor, back: Callable[[Tensor], tuple[Tensor, ...]], *inputs: Tensor) -> Tensor:
    """Return `value` with a way back to `inputs`, summed over the axes along which they were broadcast."""

    def fitted(r: Tensor) -> tuple[Tensor, ...]:
        return tuple(part.sum_to_size(x.shape) for part, x in zip(back(r), inputs, strict=True))

    return _Rule.apply(value.detach(), fitted, *inputs)


class Explain(Watch):
    """Run with rules for backwards; `plan` is what a first run of the same model wrote down."""

    def __init__(self, recipe: Recipe, plan: Watch) -> None:
        super().__init__()
        self.recipe, self.plan = recipe, plan
        # Batch norms by the layer that takes them in, and the number of each.
        self.folded: set[int] = set()
        self.before: dict[int, tuple[Any, ...]] = {}
        self.arrived: list[Tensor | None] = []
        self.first_taken = False

    def call(self, name: str, func: Any, args: Any, kwargs: Any) -> Any:
        if name in OWN:
            return getattr(self, f"_{OWN[name]}")(func, args, kwargs)
        out = super().call(name, func, args, kwargs)
        if name in PASSED:
            return attach(out, lambda r: (r,), args[0])
        if name in AVERAGED:
            return self._share(lambda x: func(x, *args[1:], **kwargs), args[0])
        if name not in MOVED and any(depends(leaf) for leaf in leaves(out)):
            raise NotImplementedError(f"the oracle has no rule for {name!r} ({func})")
        return out

    def _share(self, function: steps.Function, x: Tensor) -> Tensor:
        return attach(function(x), lambda r: (steps.share(function, x, r, self.recipe.size),), x)

    def _layer_norm(self, func: Any, args: Any, kwargs: Any) -> Tensor:
        x, shape, *rest = (*args, *kwargs.values())
        return self._share(steps.norm(x, range(-len(shape), 0), *rest[:3]), x)

    def _group_norm(self, func: Any, args: Any, kwargs: Any) -> Tensor:
        x, groups, weight, bias, eps = (*args, *kwargs.values())[:5]
        split = (len(x), groups, x.shape[1] // groups, *x.shape[2:])
        weight, bias = (part.view(*split[1:3], *[1] * (x.dim() - 2)) for part in (weight, bias))
        norm = steps.norm(x.reshape(split), range(2, x.dim() + 1), weight, bias, eps)
        return self._share(lambda x: norm(x.reshape(split)).reshape(x.shape), x)

    def _reader(self) -> tuple[int, str, tuple[Any, ...]]:
        """Number, name and arguments of the call that alone will read what this one returns."""
        readers = self.plan.readers(len(self.calls))
        return (
            (readers[0], self.plan.calls[readers[0]].name, self.plan.calls[readers[0]].args)
            if len(readers) == 1
            else (-1, "", ())
        )

    def _batch_norm(self, func: Any, args: Any, kwargs: Any) -> Tensor:
        if len(self.calls) in self.folded:
            return args[0].clone()
        number, name, given = self._reader()
        unpadded = {"conv2d": lambda: set(given[4]) == {0}, "linear": lambda: given[0].dim() == 2}
        if name in unpadded and unpadded[name]():
            self.before[number] = (*args, *kwargs.values())
            return args[0].clone()
        return self._share(lambda x: func(x, *args[1:], **kwargs), args[0])

    def _weighted(self, func: Any, args: Any, kwargs: Any) -> Tensor:
        x, weight, bias, *rest = (*args, *kwargs.values())
        kind = WEIGHTED[func.__name__]
        weight, bias = steps.folded(func, self.before.get(len(self.calls)), weight, bias, rest)
        number, name, given = self._reader()
        if name == "batch_norm":
            self.folded.add(number)
            weight, bias = steps.folded_behind(given, weight, bias)
        bias = bias.view(-1, *[1] * (weight.dim() - 2))
        step = getattr(self.recipe, kind)
        if self.recipe.first is not None and not self.first_taken and kind in self.recipe.first[0]:
            step, self.first_taken = self.recipe.first[1], True
        place = len(self.arrived)
        self.arrived.append(None)

        def call(x: Tensor, weight: Tensor) -> Tensor:
            return func(x, weight, None, *rest)

        def back(r: Tensor) -> tuple[Tensor]:
            self.arrived[place] = r
            return (step(r, x.detach(), call, weight, bias),)

        return attach(call(x, weight) + bias, back, x)

    def _add(self, func: Any, args: Any, kwargs: Any) -> Tensor:
        assert not kwargs
        out, size = args[0] + args[1], self.recipe.size
        data = [arg for arg in args if depends(arg)]
        readers = self.plan.readers(len(self.calls))
        rectified = all(self.plan.calls[i].name in RECTIFIERS for i in readers)
        if len(data) == 1 or self.recipe.signed or rectified:
            return attach(out, lambda r: tuple(x * steps.over(r, out, size) for x in data), *data)
        total = data[0].abs() + data[1].abs()
        return attach(out, lambda r: tuple(x.abs() * steps.over(r, total, size) for x in data), *data)

    def _mul(self, func: Any, args: Any, kwargs: Any) -> Tensor:
        data = [arg for arg in args if depends(arg)]
        gates = [self.maker(x) in GATES for x in data]
        shares = [1.0] if len(data) == 1 else [0.5, 0.5] if sum(gates) != 1 else [float(not gate) for gate in gates]
        return attach(args[0] * args[1], lambda r: tuple(r * share for share in shares), *data)

    def _div(self, func: Any, args: Any, kwargs: Any) -> Tensor:
        assert not depends(args[1])
        return attach(args[0] / args[1], lambda r: (r,), args[0])

    def _product(self, func: Any, args: Any, kwargs: Any) -> Tensor:
        *pattern, left, right = args

        def product(a: Tensor, b: Tensor) -> Tensor:
            return func(*pattern, a, b)

        return attach(product(left, right), lambda r: steps.product(product, left, right, r, PRODUCTS), left, right)

    def _softmax(self, func: Any, args: Any, kwargs: Any) -> Tensor:
        dim = kwargs.get("dim", args[1] if len(args) > 1 else None)
        return attach(args[0].softmax(dim), lambda r: (steps.softmax(args[0], dim, r),), args[0])

    def _attention(self, func: Any, args: Any, kwargs: Any) -> Tensor:
        q, k, v, *rest = args
        assert not any((*rest, *kwargs.values())), "masks, dropout and scales are not known here"
        return attach(func(q, k, v), lambda r: steps.attention(q, k, v, r, PRODUCTS), q, k, v)


@dataclass(frozen=True)
class Found:
    """Relevance of the input, and of the outputs of all layers with weights in the order in which they run."""

    logits: Tensor
    input: Tensor
    weighted: list[Tensor | None]


def explain(model: nn.Module, x: Tensor, target: Tensor, recipe: Recipe) -> Found:
    """Explain the logits of `target` ``(batch,)``; the model's own weights must not ask for gradients."""
    assert not any(parameter.requires_grad for parameter in model.parameters())
    x = x.clone().requires_grad_()
    with Watch() as plan:
        model(x)
    with Explain(recipe, plan) as run:
        logits = model(x)
    start = torch.zeros_like(logits).scatter(1, target[:, None], logits.detach().gather(1, target[:, None]))
    (found,) = torch.autograd.grad(logits, x, start)
    return Found(logits.detach(), found, run.arrived)


def recipes(low: Tensor, high: Tensor) -> dict[str, Recipe]:
    """Return the named composites and uniform LRP-0; bounds of the input in the shape of one example."""
    epsilon, plus, two_one = steps.epsilon(1e-6), steps.alpha_beta(1.0, 0.0), steps.alpha_beta(2.0, 1.0)
    first = (("convolution", "linear"), steps.flat())
    return {
        "epsilon-gamma-box": Recipe(steps.gamma(), epsilon, (("convolution",), steps.box(low, high))),
        "epsilon-plus": Recipe(plus, epsilon),
        "epsilon-plus-flat": Recipe(plus, epsilon, first),
        "epsilon-alpha2-beta1": Recipe(two_one, epsilon),
        "epsilon-alpha2-beta1-flat": Recipe(two_one, epsilon, first),
        "uniform LRP-0": Recipe(steps.epsilon(0.0), steps.epsilon(0.0), size=0.0, signed=True),
    }
