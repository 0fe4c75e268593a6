"""Hooks are part of the model where they change what it computes, and keep nothing of tracing where they store it."""

import copy

import pytest
import torch
from torch import nn
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook

import lrp_explorer as lrp

STORED: dict = {}


@pytest.fixture
def model():
    torch.manual_seed(5)
    return nn.Sequential(nn.Linear(6, 6), nn.ReLU(), nn.Linear(6, 3)).double().eval()


@pytest.fixture
def x():
    return torch.randn(2, 6, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


class Recorder:
    def __init__(self):
        self.seen = []

    def __call__(self, module, args, out):
        self.seen.append(out)

    def method(self, module, args):
        self.seen.append(args[0])


def test_hooks_keep_nothing_of_tracing_and_stay(model, x):
    kept, recorder, calls = {}, Recorder(), 0

    def counting(module, args, out):
        nonlocal calls
        calls += 1
        STORED["out"] = out

    model[0].register_forward_hook(lambda module, args, out: kept.update(out=out))
    model[0].register_forward_pre_hook(recorder.method)
    model[2].register_forward_hook(recorder)
    model[2].register_forward_hook(counting)
    model[2].register_forward_hook(lambda module, args, out: out * 3)
    of_all = [register_module_forward_hook(counting), register_module_forward_pre_hook(recorder.method)]
    try:
        wanted = model(x).detach()
        before = dict(kept), list(recorder.seen), dict(STORED), calls
        hooks = [
            copy.copy(hooks) for part in model.modules() for hooks in (part._forward_hooks, part._forward_pre_hooks)
        ]
        found = lrp.explain(model, x, device="cpu")
        now = kept, recorder.seen, STORED, calls
        assert calls == before[3]
        for old, new in zip(before[:3], now[:3], strict=True):
            assert len(new) == len(old)
            assert all(a is b for a, b in zip(old, new, strict=True)) or isinstance(old, dict)
            assert not isinstance(old, dict) or all(new[key] is value for key, value in old.items())
        after = [hooks for part in model.modules() for hooks in (part._forward_hooks, part._forward_pre_hooks)]
        assert after == hooks
    finally:
        for one in of_all:
            one.remove()
        STORED.clear()
    torch.testing.assert_close(found.logits, wanted, rtol=1e-12, atol=0)


def test_a_hook_of_all_modules_that_changes_outputs_is_part_of_the_model(model, x):
    one = register_module_forward_hook(lambda module, args, out: out * 2 if isinstance(module, nn.Linear) else None)
    try:
        wanted = model(x).detach()
        torch.testing.assert_close(lrp.Session(model, x, device="cpu").logits, wanted, rtol=1e-12, atol=0)
    finally:
        one.remove()
    torch.testing.assert_close(lrp.Session(model, x, device="cpu").logits, model(x).detach(), rtol=1e-12, atol=0)
