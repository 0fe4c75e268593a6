#!/usr/bin/env bash
# A module that keeps a table at its first call: register_buffer("table", None), filled in forward (rotary embeddings,
# position ramps and masks are often kept so).
#
# The common guess: torch.export.export(strict=False) takes the table for a constant, exports it as a buffer, or says
# that it cannot. What happens: it exports without a word, and writes the table into the *other* buffer of the module:
# the exported program ends in a copy_ of the table to that buffer. The first call of program.module() answers
# rightly and changes the buffer; the second answers wrongly. Without another buffer nothing of the kind happens.
# Source: torch/export/_trace.py notes which buffers are assigned to, and pairs the names of the module's buffers with
# the program's inputs by position; it counts the buffers after the call, when the table is one of them, though the
# program has no input for it. Every name behind it is off by one, and the table's own leads to the next buffer.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q "torch==2.14.1" numpy
"$folder/venv/bin/python" -W ignore - <<'PYTHON'
import sys

import torch
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("table", None)
        self.register_buffer("offset", torch.full((6,), 7.0))

    def forward(self, x):
        if self.table is None:
            self.table = torch.linspace(0, 1, 6)
        return x * self.table + self.offset


print("torch", torch.__version__)
x = torch.zeros(1, 6)
expected = Net()(x)
program = torch.export.export(Net().eval(), (x,), strict=False)
written = program.run_decompositions({}).graph_signature.buffers_to_mutate
module = program.module()
first, second = module(x), module(x)
print("buffers that the program writes:", dict(written))
print("the model answers      ", expected[0].tolist())
print("the program, first call ", first[0].tolist())
print("the program, second call", second[0].tolist())
as_seen = list(written.values()) == ["offset"] and torch.equal(first, expected) and not torch.equal(second, expected)
sys.exit(0 if as_seen else 1)
PYTHON
