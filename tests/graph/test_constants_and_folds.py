"""Constants among the values keep no sign that they do not have, and a batch norm is folded only where it can be."""

import pytest
import torch
from refusals import refused
from torch import nn
from torch.nn import functional as F

import lrp_explorer as lrp
from lrp_explorer import errors, rules
from lrp_explorer.composites import Uniform
from lrp_explorer.graph import INPUT, trace
from lrp_explorer.graph.signs import nonnegative


class Model(nn.Module):
    """Layers, and a function that calls them; logits are sums over all axes but the first two."""

    def __init__(self, function, **layers):
        super().__init__()
        torch.manual_seed(3)
        self.layers, self.function = nn.ModuleDict({name: make() for name, make in layers.items()}), function

    def forward(self, x):
        out = self.function(self.layers, x)
        return out.flatten(2).sum(2) if out.dim() > 2 else out


def example(*shape):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(4))


def ready(model):
    """In double precision, with running statistics and factors that are told from their defaults."""
    torch.manual_seed(5)
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            for tensor in (module.weight, module.bias, module.running_mean, module.running_var):
                if tensor is not None:
                    nn.init.uniform_(tensor, 0.5, 2.0)
    return model.double().eval()


def known_signs(function, x):
    graph = trace(Model(function).eval(), x)
    return graph.output in nonnegative(graph, input_nonnegative=True)


RULES = [rules.AlphaBeta(2.0, 1.0), rules.ZPlus(), rules.Gamma(0.5)]


@pytest.mark.parametrize("rectified", [False, True])
@pytest.mark.parametrize("rule", RULES)
def test_a_convolution_of_coordinates_is_explained_as_one_of_the_whole_tensor(rule, rectified):
    coordinates = torch.linspace(-1, 1, 5, dtype=torch.float64).expand(2, 1, 5, 5)

    def joined(x):
        return torch.cat([x.relu() if rectified else x, coordinates[: len(x)]], 1)

    make = lambda: nn.Conv2d(3, 4, 3)  # noqa: E731
    net = Model(lambda layers, x: layers["conv"](joined(x)), conv=make).double().eval()
    whole = Model(lambda layers, x: layers["conv"](x), conv=make).double().eval()
    x = example(2, 2, 5, 5).abs()
    found = lrp.explain(net, x, composite=Uniform(rule), device="cpu", target=1)
    wanted = lrp.explain(whole, joined(x), composite=Uniform(rule), device="cpu", target=1)
    torch.testing.assert_close(found.input, wanted.input[:, :2], rtol=1e-9, atol=1e-12)


SIGNS = {
    "cat, negative constant": (lambda m, x: torch.cat([x, torch.tensor([[-1.0]]).expand(len(x), 1)], 1), False),
    "cat, constant": (lambda m, x: torch.cat([x, torch.tensor([[1.0], [0.0]])], 1), True),
    "cat, negative value": (lambda m, x: torch.cat([x, -x], 1), False),
    "cat, values": (lambda m, x: torch.cat([x, x.sigmoid()], 1), True),
    "stack, negative constant": (lambda m, x: torch.stack([x, torch.full((2, 4), -1.0)], 1), False),
    "stack, values": (lambda m, x: torch.stack([x, x.sigmoid()], 1), True),
    "added": (lambda m, x: torch.add(x, 2.0), True),
    "added negatively": (lambda m, x: torch.add(x, 2.0, alpha=-1), False),
    "sum": (lambda m, x: torch.add(x, x.sigmoid()), True),
    "sum, negative": (lambda m, x: torch.add(x, x.sigmoid(), alpha=-1), False),
}  # fmt: skip


@pytest.mark.parametrize("name", SIGNS)
def test_signs_are_known_only_where_they_are_certain(name):
    function, certain = SIGNS[name]
    assert known_signs(function, torch.zeros(2, 4)) is certain


@pytest.mark.parametrize(("mode", "certain"), [("bilinear", True), ("nearest", True), ("bicubic", False)])
def test_bicubic_coefficients_keep_no_sign(mode, certain):
    grid = torch.linspace(-0.9, 0.9, 18).view(1, 3, 3, 2).expand(2, 3, 3, 2)
    sampled = lambda m, x: F.grid_sample(x, grid, mode=mode, align_corners=False)  # noqa: E731
    graph = trace(Model(sampled).eval(), torch.zeros(2, 1, 6, 6))
    known = nonnegative(graph, input_nonnegative=True)
    assert (next(node.name for node in graph if node.op == "grid_sampler") in known) is certain
    if mode != "nearest":
        resized = lambda m, x: F.interpolate(x, scale_factor=2.0, mode=mode)  # noqa: E731
        graph = trace(Model(resized).eval(), torch.zeros(2, 1, 6, 6))
        name = next(node.name for node in graph if node.op.startswith("upsample"))
        assert (name in nonnegative(graph, input_nonnegative=True)) is certain


def check(model, x):
    """Logits are the model's own, and relevance under LRP-0 is input times gradient."""
    model = ready(model)
    session = lrp.Session(model, x, device="cpu")
    torch.testing.assert_close(session.logits, model(x).detach(), rtol=1e-10, atol=1e-12)
    leaf = x.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(model(leaf)[:, 1].sum(), leaf)
    found = session.relevance(target=1, composite=Uniform(rules.Zero(1e-15)))
    torch.testing.assert_close(found.input, x * gradient, rtol=1e-8, atol=1e-10)
    lost = sum(row.to_bias + row.to_epsilon + row.other for row in found.ledger)
    assert found.input.sum().item() + lost == pytest.approx(session.logits[:, 1].sum().item())
    return session


def in_turn(layers, x):
    for layer in layers.values():
        x = layer(x)
    return x


AXES = {
    "sequence, as many as features": ((3, 6, 4), lambda: nn.Linear(4, 6), lambda: nn.BatchNorm1d(6)),
    "sequence, other": ((3, 5, 4), lambda: nn.Linear(4, 6), lambda: nn.BatchNorm1d(5)),
    "last axis of an image": ((3, 6, 2, 4), lambda: nn.Linear(4, 6), lambda: nn.BatchNorm2d(6)),
    "grouped transposed": (
        (3, 4, 3, 3), lambda: nn.ConvTranspose2d(4, 6, 2, groups=2), lambda: nn.BatchNorm2d(6),
    ),
    "grouped transposed without bias": (
        (3, 4, 3), lambda: nn.ConvTranspose1d(4, 6, 2, groups=2, bias=False), lambda: nn.BatchNorm1d(6),
    ),
    "depthwise transposed": (
        (3, 4, 3, 3), lambda: nn.ConvTranspose2d(4, 8, 2, stride=2, groups=4), lambda: nn.BatchNorm2d(8),
    ),
    "transposed": ((3, 4, 3, 3), lambda: nn.ConvTranspose2d(4, 6, 2), lambda: nn.BatchNorm2d(6)),
    "dense": ((3, 4), lambda: nn.Linear(4, 6), lambda: nn.BatchNorm1d(6)),
    "batch norm twice": ((3, 4, 3, 3), lambda: nn.BatchNorm2d(4), lambda: nn.BatchNorm2d(4)),
}  # fmt: skip


@pytest.mark.parametrize("name", AXES)
def test_batch_norm_behind_a_layer(name):
    shape, layer, norm = AXES[name]
    session = check(Model(in_turn, a=layer, b=norm), example(*shape))
    folded = bool(session.graph.by_name["layers.a"].norms)
    assert folded is (name == "dense" or "transposed" in name)


OTHERS = {
    "layer norm": lambda: nn.LayerNorm([4, 3, 3]),
    "group norm": lambda: nn.GroupNorm(2, 4),
    "instance norm": lambda: nn.InstanceNorm2d(4, affine=True),
}


@pytest.mark.parametrize("name", OTHERS)
def test_batch_norm_before_another_norm_stays_a_layer(name):
    model = ready(Model(in_turn, a=lambda: nn.BatchNorm2d(4), b=OTHERS[name]))
    x = example(3, 4, 3, 3)
    session = lrp.Session(model, x, device="cpu")
    torch.testing.assert_close(session.logits, model(x).detach(), rtol=1e-10, atol=1e-12)
    assert session.graph.by_name["layers.a"].kind == "batch_norm"
    assert session.relevance().input.shape == x.shape


UNKNOWN = {
    "by the batch's statistics": (
        lambda m, x: F.batch_norm(x, m["a"].running_mean, m["a"].running_var, training=True), lambda: nn.BatchNorm2d(4),
    ),
    "without running statistics": (in_turn, lambda: nn.BatchNorm2d(4, track_running_stats=False)),
}  # fmt: skip


@pytest.mark.parametrize("name", UNKNOWN)
def test_batch_norm_that_reads_the_batch_has_no_rule(name):
    function, norm = UNKNOWN[name]
    with refused(errors.CoverageError, "batch_norm", "operation", "rules"):
        lrp.explain(ready(Model(function, a=norm)), example(3, 4, 3, 3))
    norm_alone = ready(Model(in_turn, c=lambda: nn.Conv2d(4, 4, 1), a=norm)) if function is in_turn else None
    if norm_alone is not None:
        with refused(errors.CoverageError, "batch_norm"):
            lrp.explain(norm_alone, example(3, 4, 3, 3))


SPATIAL = {
    "window in space": lambda m, x: x / (2 + 0.5 * F.avg_pool2d(x * x, 3, 1, 1)) ** 0.75,
    "offset first": lambda m, x: x / ((F.avg_pool2d(x * x, 3, 1, 1) + 2) * 0.5) ** 0.75,
    "factor inside": lambda m, x: x / (F.avg_pool2d(0.5 * x * x + 1, 3, 1, 1).mul(0.5).add(1.0)) ** 0.75,
    "channels, strided back": lambda m, x: x / _channels(x, lambda mean: mean.mul(0.5).add(1.0).pow(0.75), space=3),
    "channels, other pad": lambda m, x: x / _channels(x, lambda mean: mean.mul(0.5).add(1.0).pow(0.75), pad=(0, 2)),
}


def _channels(x, after, space=1, pad=(1, 1)):
    squares = x.mul(x).view(x.shape[0], 1, 4, 5, -1)
    squares = F.pad(squares, (0, 0, space // 2, space // 2, *pad))
    return after(F.avg_pool3d(squares, (3, space, 1), stride=1).squeeze(1).view(x.shape))


@pytest.mark.parametrize("name", SPATIAL)
def test_only_local_response_normalisation_is_taken_for_it(name):
    graph = trace(Model(SPATIAL[name]).eval(), torch.zeros(2, 4, 5, 5))
    assert "response_norm" not in {node.kind for node in graph}


def test_an_offset_before_the_factor_is_local_response_normalisation():
    written = Model(lambda m, x: x / _channels(x, lambda mean: mean.add(1.0).mul(0.5).pow(0.75))).eval()
    module = Model(in_turn, a=lambda: nn.LocalResponseNorm(3, alpha=0.5, beta=0.75, k=0.5)).eval()
    found, wanted = (lrp.explain(norm, example(2, 4, 5, 5), 2, device="cpu") for norm in (written, module))
    torch.testing.assert_close(found.logits, wanted.logits, rtol=1e-12, atol=0)
    torch.testing.assert_close(found.input, wanted.input, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("size", [1, 2, 3])
@pytest.mark.parametrize("shape", [(2, 4, 5), (2, 4, 5, 5), (2, 4, 2, 3, 5)])
def test_local_response_normalisation_is_found_at_every_rank(shape, size):
    model = Model(in_turn, a=lambda: nn.LocalResponseNorm(size, 0.5, 0.7, 1.5)).double().eval()
    x = example(*shape)
    session = lrp.Session(model, x, device="cpu")
    made = session.graph.by_name["layers.a"]
    assert made.kind == "response_norm"
    assert made.rank == len(shape)
    assert session.graph.layers[:2] == (INPUT, "layers.a")
    torch.testing.assert_close(session.logits, model(x), rtol=1e-12, atol=1e-14)


def test_axes_are_counted_where_batch_norm_has_several_results():
    by_product = lambda layers, x: torch.einsum("bcl,l->bc", layers["a"](x.relu()), x.new_ones(5))  # noqa: E731
    graph = trace(Model(by_product, a=lambda: nn.BatchNorm1d(4)).eval(), torch.zeros(2, 4, 5))
    assert graph.by_name["layers.a"].op == "_native_batch_norm_legit_no_training"
    assert graph.by_name["layers.a"].rank == 3
