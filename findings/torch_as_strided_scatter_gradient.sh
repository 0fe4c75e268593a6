#!/usr/bin/env bash
# The common guess: torch.as_strided_scatter(x, src, ...) writes src over some elements of x, so the gradient for x is
# that of the result where x was kept, and zero where it was written over, as for slice_scatter, select_scatter and
# diagonal_scatter. What happens: it is the other way round, without a word. The elements that were written over receive
# the gradient, and all that were kept receive zero. Whoever explains a model by gradients, or trains one, through what
# fill_diagonal_() becomes in an exported program (torch.export, run_decompositions) gets the wrong numbers.
# Source: the page of torch.as_strided_scatter in PyTorch's documentation, which says that src is embedded into a copy
# of the input and names no restriction of the gradient; torch.autograd.gradcheck as the judge.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q "torch==2.14.1" numpy
"$folder/venv/bin/python" - <<'PYTHON'
import sys

import torch

print("torch", torch.__version__)
x = torch.zeros(3, 3, dtype=torch.float64, requires_grad=True)
src = torch.full((3,), 7.0, dtype=torch.float64)


def strided(x):
    return torch.as_strided_scatter(x, src, (3,), (4,), 0)


def diagonal(x):
    return torch.diagonal_scatter(x, src)


print("both write the diagonal, and give the same:", torch.equal(strided(x), diagonal(x)))
gradients = {}
for function in (diagonal, strided):
    (gradients[function.__name__],) = torch.autograd.grad(function(x).sum(), x)
    print(f"gradient of the sum for x, {function.__name__}:\n{gradients[function.__name__]}")
right = torch.autograd.gradcheck(strided, x, raise_exception=False)
print("gradcheck of as_strided_scatter:", right)
eye = torch.eye(3, dtype=torch.float64)
as_seen = torch.equal(gradients["diagonal"], 1 - eye) and torch.equal(gradients["strided"], eye) and not right
sys.exit(0 if as_seen else 1)
PYTHON
