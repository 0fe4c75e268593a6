"""Every call of a PyTorch function that sees a model's input, in the order in which the running model makes them."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import Any

from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode

# What the same function is called when it is written as an operator, or by PyTorch inside.
SPELLINGS = {"iadd": "add", "radd": "add", "imul": "mul", "rmul": "mul", "truediv": "div"}
IN_PLACE = frozenset("relu relu6 hardtanh hardswish hardsigmoid silu elu leaky_relu add mul".split())


@dataclass(frozen=True)
class Call:
    """One call: the function's name, all that it was given, and what it returned."""

    name: str
    args: tuple[Any, ...]
    out: Any


class Watch(TorchFunctionMode):
    """Write down every call that sees the input and leave its value as it is."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[Call] = []
        # By identity: the calls keep every tensor alive.
        self._readers: dict[int, list[int]] = defaultdict(list)
        self._makers: dict[int, str] = {}

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs, name = kwargs or {}, str(func.__name__).strip("_")
        name = SPELLINGS.get(name, name)
        if name == "get" or not any(depends(leaf) for leaf in leaves((args, kwargs))):
            return func(*args, **kwargs)
        if name == "multi_head_attention_forward":
            with self:
                return self_attention(*args), None
        out = self.call(name, func, args, kwargs)
        if any(depends(leaf) for leaf in leaves(out)):
            for given in {id(leaf) for leaf in leaves((args, kwargs))}:
                self._readers[given].append(len(self.calls))
            self._makers[id(out)] = name
            self.calls.append(Call(name, (*args, *kwargs.values()), out))
        return out

    def call(self, name: str, func: Any, args: Any, kwargs: Any) -> Any:
        # Calls in place write into a copy, so that every tensor keeps its value.
        return func(args[0].clone(), *args[1:], **kwargs) if name in IN_PLACE else func(*args, **kwargs)

    def readers(self, number: int) -> list[int]:
        """Numbers of the calls that read what call `number` returned."""
        return self._readers[id(self.calls[number].out)]

    def maker(self, value: Tensor) -> str:
        """Name of the function that returned `value`; empty if none did."""
        return self._makers.get(id(value), "")


def leaves(value: Any) -> list[Any]:
    """Everything in nested lists, tuples and dictionaries."""
    if isinstance(value, dict):
        return leaves(list(value.values()))
    if isinstance(value, (list, tuple)):
        return [leaf for item in value for leaf in leaves(item)]
    return [value]


def depends(value: Any) -> bool:
    """Whether a value depends on the model's input: nothing else asks for a gradient."""
    return isinstance(value, Tensor) and value.requires_grad


def self_attention(query: Tensor, key: Tensor, value: Tensor, width: int, heads: int, *weights: Any) -> Tensor:
    """`nn.MultiheadAttention` of a sequence with itself, tokens first, as two dense layers around the attention."""
    assert query is key
    assert key is value
    tokens, batch = query.shape[:2]
    parts = functional.linear(query, weights[0], weights[1]).chunk(3, -1)
    q, k, v = (part.reshape(tokens, batch, heads, width // heads).permute(1, 2, 0, 3) for part in parts)
    mixed = functional.scaled_dot_product_attention(q, k, v).permute(2, 0, 1, 3).reshape(tokens, batch, width)
    return functional.linear(mixed, weights[6], weights[7])
