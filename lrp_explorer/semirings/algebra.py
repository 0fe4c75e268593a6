"""What a semiring is: two operations and what an edge means in them; its laws, checked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from lrp_explorer.errors import InputError


@dataclass(frozen=True)
class Semiring:
    """Abstract: how contributions add up along all paths. A few lines make one: zero, one, add, mul, encode.

    Relevance is R_j = ⊕_k encode(d_jk) ⊗ R_k, with 𝟙 at the target's output and 𝟘 at the others, where d_jk is the
    real coefficient with which the layer's own rule hands R_k down to j.

    Attributes
    ----------
    zero, one : float or sequence of float
        𝟘 and 𝟙: numbers, or for elements of several numbers (such as the k best paths), one each.
    """

    name: ClassVar[str] = ""
    formula: ClassVar[str] = ""
    zero: ClassVar[float | Sequence[float]] = 0.0
    one: ClassVar[float | Sequence[float]] = 1.0

    @property
    def element(self) -> tuple[int, ...]:
        """Shape of one element: ``()`` for a number; further axes follow those of the neurons."""
        return tuple(torch.as_tensor(self.zero).shape)

    def add(self, a: Tensor, b: Tensor) -> Tensor:
        """Join paths: a ⊕ b, elementwise."""
        raise TypeError(f"{type(self).__name__} says no add")

    def mul(self, a: Tensor, b: Tensor) -> Tensor:
        """Chain edges: a ⊗ b, elementwise."""
        raise TypeError(f"{type(self).__name__} says no mul")

    def encode(self, d: Tensor) -> Tensor:
        """Annotate edges: real coefficients to elements, further axes last; 0 is no edge, and has to become 𝟘."""
        raise TypeError(f"{type(self).__name__} says no encode")

    def decode(self, r: Tensor) -> Tensor:
        """Turn elements into what the user sees."""
        return r

    def dtype(self, real: torch.dtype) -> torch.dtype:
        """Type of the elements for a network of type `real`."""
        return real

    def sum(self, values: Tensor, axis: int) -> Tensor:
        """⊕ over one axis, by halves; final semirings give the reduction that PyTorch has."""
        axis = axis % (values.dim() - len(self.element))
        while values.shape[axis] > 1:
            half = values.shape[axis] // 2
            joined = self.add(values.narrow(axis, 0, half), values.narrow(axis, half, half))
            rest = values.narrow(axis, 2 * half, values.shape[axis] - 2 * half)
            values = torch.cat([joined, rest], axis)
        if values.shape[axis] == 0:
            return self.full(
                [n for i, n in enumerate(values.shape[: values.dim() - len(self.element)]) if i != axis], values
            )
        return values.squeeze(axis)

    def full(self, shape: Sequence[int], like: Tensor, element: Any = None) -> Tensor:
        """𝟘 (or another element) everywhere, `shape` without the axes of the element."""
        value = torch.as_tensor(self.zero if element is None else element, device=like.device).to(like.dtype)
        return value.expand((*shape, *self.element)).clone()


def check_laws(semiring: Semiring, samples: Tensor, tolerance: float = 1e-9) -> None:
    """Check the laws of a semiring on all triples of `samples`.

    Parameters
    ----------
    semiring : Semiring
        The algebra.
    samples : Tensor
        Elements ``(n, *element)``; a dozen is plenty, n³ triples are tried.
    tolerance : float
        Relative to the larger of 1 and the values compared.

    Raises
    ------
    InputError
        Names the law that fails, and the elements for which it does.
    """
    n = len(samples)
    zero = semiring.full((n,), samples)
    one = semiring.full((n,), samples, semiring.one)
    rest = tuple(samples.shape[1:])
    a = samples.reshape(n, 1, 1, *rest).expand(n, n, n, *rest)
    b = samples.reshape(1, n, 1, *rest).expand(n, n, n, *rest)
    c = samples.reshape(1, 1, n, *rest).expand(n, n, n, *rest)
    add, mul = semiring.add, semiring.mul
    laws = (
        ("(a ⊕ b) ⊕ c = a ⊕ (b ⊕ c)", add(add(a, b), c), add(a, add(b, c))),
        ("a ⊕ b = b ⊕ a", add(a, b), add(b, a)),
        ("a ⊕ 𝟘 = a", add(samples, zero), samples),
        ("(a ⊗ b) ⊗ c = a ⊗ (b ⊗ c)", mul(mul(a, b), c), mul(a, mul(b, c))),
        ("a ⊗ 𝟙 = a", mul(samples, one), samples),
        ("𝟙 ⊗ a = a", mul(one, samples), samples),
        ("a ⊗ 𝟘 = 𝟘", mul(samples, zero), zero),
        ("𝟘 ⊗ a = 𝟘", mul(zero, samples), zero),
        ("a ⊗ (b ⊕ c) = (a ⊗ b) ⊕ (a ⊗ c)", mul(a, add(b, c)), add(mul(a, b), mul(a, c))),
        ("(a ⊕ b) ⊗ c = (a ⊗ c) ⊕ (b ⊗ c)", mul(add(a, b), c), add(mul(a, c), mul(b, c))),
    )
    for law, left, right in laws:
        wrong = _differ(left, right, tolerance)
        wrong = wrong.flatten(wrong.dim() - len(rest)).any(-1) if rest else wrong
        if bool(wrong.any()):
            at = tuple(int(i) for i in wrong.nonzero()[0])
            shown = ", ".join(f"{n} = {samples[i].tolist()!r}" for n, i in zip("abc", at, strict=False))
            raise InputError(
                f"{type(semiring).__name__} is not a semiring: {law} fails for {shown}: "
                f"{left[at].tolist()!r} is not {right[at].tolist()!r}"
            )


def _differ(left: Tensor, right: Tensor, tolerance: float) -> Tensor:
    if not left.dtype.is_floating_point:
        return left != right
    scale = torch.maximum(left.abs(), right.abs()).clamp(min=1.0)
    close = ((left - right).abs() <= tolerance * scale) & scale.isfinite()
    return ~(close | (left == right))
