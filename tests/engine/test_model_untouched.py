"""The user's model is the same object in the same state after an explanation, and its spelling does not matter."""

import copy
import warnings

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import lrp_explorer as lrp


class Modules(nn.Module):
    """One module for each step."""

    def __init__(self):
        super().__init__()
        self.first, self.first_act, self.pool = nn.Conv2d(3, 6, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)
        self.second, self.norm, self.second_act = nn.Conv2d(6, 8, 3), nn.BatchNorm2d(8), nn.ReLU()
        self.mean, self.flat, self.drop = nn.AvgPool2d(2), nn.Flatten(), nn.Dropout(0.5)
        self.head = nn.Linear(8, 5)

    def forward(self, x):
        x = self.pool(self.first_act(self.first(x)))
        x = self.mean(self.second_act(self.norm(self.second(x))))
        return self.head(self.drop(self.flat(x)))


class Functional(Modules):
    def forward(self, x):
        x = F.max_pool2d(F.relu(self.first(x)), 2)
        x = F.conv2d(x, self.second.weight, self.second.bias)
        norm = self.norm
        x = F.batch_norm(x, norm.running_mean, norm.running_var, norm.weight, norm.bias, self.training)
        x = F.avg_pool2d(torch.relu(x), 2)
        x = F.dropout(torch.flatten(x, 1), 0.5, self.training)
        return F.linear(x, self.head.weight, self.head.bias)


class InPlace(Modules):
    def forward(self, x):
        x = self.pool(self.first(x).relu_())
        x = F.relu(self.norm(self.second(x)), inplace=True)
        return self.head(self.drop(self.mean(x).view(x.shape[0], -1)))


class Reused(Modules):
    """One activation for both places."""

    def forward(self, x):
        x = self.pool(self.first_act(self.first(x)))
        x = self.mean(self.first_act(self.norm(self.second(x))))
        return self.head(self.drop(self.flat(x)))


class Clamped(Modules):
    """An activation spelt as torch.clamp, a flatten as reshape."""

    def forward(self, x):
        x = self.pool(self.first_act(self.first(x)))
        x = self.mean(torch.clamp(self.norm(self.second(x)), min=0))
        return self.head(x.reshape(x.size(0), -1))


SPELLINGS = [Functional, InPlace, Reused, Clamped]
COMPOSITES = ["epsilon-plus", "epsilon-plus-flat", "epsilon-alpha2-beta1", lrp.composites.Uniform(lrp.rules.Gamma())]


def build(spelling=Modules):
    torch.manual_seed(11)
    model = spelling().double()
    nn.init.uniform_(model.norm.running_var, 0.5, 2.0)
    nn.init.normal_(model.norm.running_mean)
    nn.init.normal_(model.norm.weight)
    nn.init.normal_(model.norm.bias)
    return model.eval()


def batch():
    return torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(2), dtype=torch.float64)


def state(model):
    """Everything of a model that an explanation could disturb."""
    kinds = ("_hooks", "_hooks_with_kwargs", "_always_called")
    hooks = [name for name in vars(nn.Module()) if name.endswith(kinds)]
    parts = dict(model.named_modules())
    return {
        "tensors": {name: tensor.clone() for name, tensor in model.state_dict().items()},
        "identities": {name: id(tensor) for name, tensor in [*model.named_parameters(), *model.named_buffers()]},
        "versions": {name: t._version for name, t in [*model.named_parameters(), *model.named_buffers()]},
        "requires_grad": {name: p.requires_grad for name, p in model.named_parameters()},
        "grads": {name: None if p.grad is None else p.grad.clone() for name, p in model.named_parameters()},
        "modes": {name: part.training for name, part in parts.items()},
        "modules": {name: id(part) for name, part in parts.items()},
        "attributes": {name: sorted(vars(part)) for name, part in parts.items()},
        "hooks": {name: {hook: list(getattr(part, hook)) for hook in hooks} for name, part in parts.items()},
    }


def same(before, after):
    for tensors in ("tensors", "grads"):
        assert before[tensors].keys() == after[tensors].keys()
        for name, tensor in before.pop(tensors).items():
            other = after[tensors][name]
            assert (tensor is None) == (other is None), name
            assert tensor is None or torch.equal(tensor, other), name
        after.pop(tensors)
    assert before == after


def disturbed():
    """A model in a state that carelessness would tidy up: mixed modes, frozen parts, gradients, a hook."""
    model = build()
    model.drop.train()
    model.first.weight.requires_grad_(False)
    model(batch()).sum().backward()
    model.second.register_forward_hook(lambda module, args, out: None)
    return model


def explain(model, x, **settings):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return lrp.explain(model, x, device="cpu", **settings)


@pytest.mark.parametrize("composite", COMPOSITES, ids=str)
def test_the_model_is_the_same_after_an_explanation(composite):
    model = disturbed()
    before = state(model)
    x = batch()
    kept = x.clone()
    explain(model, x, composite=composite)
    same(before, state(model))
    assert torch.equal(x, kept)
    assert not x.requires_grad
    assert x.grad is None


@pytest.mark.parametrize(
    "start", [[nn.ReLU()], [nn.ReLU(inplace=True)], [nn.Flatten(), nn.ReLU(True), nn.Unflatten(1, (3, 8, 8))]], ids=str
)
def test_the_input_is_the_same_where_the_model_starts_by_rectifying_it(start):
    torch.manual_seed(1)
    model = nn.Sequential(*start, nn.Flatten(), nn.Linear(192, 3)).double().eval()
    x = batch()
    kept = x.clone()
    session = lrp.Session(model, x, device="cpu")
    assert torch.equal(x, kept)
    torch.testing.assert_close(session.logits, model(kept.clone()).detach(), rtol=1e-12, atol=0)


def test_the_check_sees_what_changes():
    model = disturbed()
    for change in (
        lambda: model.first.bias.data.add_(1e-9),
        lambda: model.norm.train(),
        lambda: model.head.weight.requires_grad_(False),
        lambda: model.head.register_forward_hook(print),
        lambda: model.zero_grad(),
        lambda: setattr(model, "left_over", 1),
    ):
        before = state(model)
        change()
        with pytest.raises(AssertionError):
            same(before, state(model))


@pytest.mark.parametrize(
    "settings",
    [{"target": 99}, {"composite": "unheard-of"}, {"seed": "unheard-of"}, {"composite": "epsilon-gamma-box"}],
    ids=str,
)
def test_the_model_is_the_same_after_a_failure(settings):
    model = disturbed()
    before = state(model)
    with pytest.raises((lrp.errors.LrpError, TypeError)):
        explain(model, batch(), **settings)
    same(before, state(model))


def test_a_model_that_cannot_be_traced_is_the_same_too():
    class Branching(Modules):
        def forward(self, x):
            return super().forward(x) if x.sum() > 0 else super().forward(-x)

    model = build(Branching)
    before = state(model)
    with pytest.raises(lrp.errors.ModelError):
        explain(model, batch())
    same(before, state(model))


def test_a_wrong_input_leaves_the_model_alone():
    model = disturbed()
    before = state(model)
    with pytest.raises(lrp.errors.LrpError):
        explain(model, batch()[:, :1])
    same(before, state(model))


def test_gradients_are_neither_needed_nor_switched_on():
    model = build()
    with torch.no_grad():
        quiet = explain(model, batch())
        assert not torch.is_grad_enabled()
    assert not quiet.input.requires_grad
    tracked = batch().requires_grad_()
    assert torch.equal(explain(model, tracked).input, quiet.input)
    assert tracked.grad is None


def test_a_model_in_training_mode_is_explained_as_in_evaluation():
    model = build()
    wanted = explain(model, batch())
    model.train()
    before = state(model)
    with pytest.warns(UserWarning, match=r"(?i)train.*eval"):
        found = lrp.explain(model, batch(), device="cpu")
    same(before, state(model))
    assert torch.equal(found.input, wanted.input)
    assert torch.equal(found.logits, wanted.logits)


def test_a_part_in_training_mode_is_worth_a_warning_too():
    model = build()
    wanted = explain(model, batch())
    model.norm.train()
    with pytest.warns(UserWarning, match=r"(?i)train.*eval"):
        found = lrp.explain(model, batch(), device="cpu")
    assert torch.equal(found.input, wanted.input)
    assert model.norm.training


def test_a_model_in_evaluation_mode_gives_no_warning():
    model = build()
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        lrp.explain(model, batch(), device="cpu")


@pytest.fixture(scope="module")
def wanted():
    return lrp.Session(build(), batch(), device="cpu")


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_the_spelling_makes_no_difference(spelling, wanted):
    found = lrp.Session(build(spelling), batch(), device="cpu")
    torch.testing.assert_close(found.logits, build()(batch()).detach(), rtol=1e-12, atol=0)
    for composite in COMPOSITES:
        reference = wanted.relevance(composite=composite)
        assert torch.equal(found.relevance(composite=composite).input, reference.input), composite
        assert reference.input.abs().max() > 0


def test_a_reused_layer_with_weights_is_explained_at_each_use():
    class Twice(nn.Module):
        def __init__(self, first, second):
            super().__init__()
            self.first, self.second, self.head = first, second, nn.Linear(6, 3)

        def forward(self, x):
            return self.head(F.relu(self.second(F.relu(self.first(x)))))

    torch.manual_seed(4)
    shared = nn.Linear(6, 6)
    once = Twice(shared, shared).double().eval()
    apart = copy.deepcopy(once)
    apart.second = copy.deepcopy(shared)
    x = torch.randn(2, 6, dtype=torch.float64)
    for rule in (lrp.rules.Epsilon(0.01), lrp.rules.ZPlus(), lrp.rules.Gamma()):
        composite = lrp.composites.Uniform(rule)
        assert torch.equal(explain(once, x, composite=composite).input, explain(apart, x, composite=composite).input)


def test_training_after_a_recording_is_never_mixed_in_silently():
    model, x = build(), batch()
    settings = {"target": 2, "composite": "epsilon-plus"}
    session = lrp.Session(model, x, device="cpu")
    session.relevance(target=1, composite="epsilon-plus")
    before = explain(copy.deepcopy(model), x, **settings).input
    with torch.no_grad():
        model.head.weight.mul_(-2.0)
    changed = explain(copy.deepcopy(model), x, **settings).input
    assert not torch.allclose(changed, before)
    assert torch.equal(explain(model, x, **settings).input, changed)
    try:
        found = session.relevance(**settings).input
    except lrp.errors.LrpError:
        return
    assert torch.equal(found, before)
