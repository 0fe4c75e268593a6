"""The graph says what the model computes, under the names that the model gives its layers."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import lrp_explorer as lrp
from lrp_explorer.graph import INPUT, trace
from lrp_explorer.graph.functional import make_functional
from lrp_explorer.graph.ops import KINDS, OPS


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.norm, self.relu = nn.Conv2d(2, 2, 3, padding=1), nn.BatchNorm2d(2), nn.ReLU(inplace=True)

    def forward(self, x):
        out = self.relu(self.norm(self.conv(x)))
        out += x
        return self.relu(out)


def net():
    torch.manual_seed(0)
    return nn.Sequential(Block(), Block(), nn.Dropout(), nn.Flatten(), nn.Linear(32, 3)).eval()


def test_layers_carry_the_names_of_the_model():
    graph = trace(net(), torch.zeros(1, 2, 4, 4))
    assert graph.layers == (
        INPUT, "0.conv", "0.norm", "0.relu", "add", "0.relu@1", "1.conv", "1.norm", "1.relu", "add_1", "1.relu@1",
        "2", "3", "4",
    )  # fmt: skip
    assert graph.output == "4"
    assert graph.resolve("1") == "1.relu@1"
    with pytest.raises(lrp.errors.UnknownNameError, match=r"'1\.conv'"):
        graph.resolve("1.konv")


def test_every_node_says_where_it_stands():
    node = trace(net(), torch.zeros(1, 2, 4, 4)).by_name["add"]
    assert "test_trace.py" in node.source
    assert "out += x" in node.source
    assert node.module == "0"


def test_a_functional_name_never_takes_that_of_a_module():
    class Named(nn.Module):
        def __init__(self):
            super().__init__()
            self.permute, self.input = nn.Linear(4, 4), nn.Linear(4, 3)

        def forward(self, x):
            return self.input(self.permute(x.permute(0, 2, 1)).mean(1))

    graph = trace(Named().eval(), torch.zeros(1, 4, 5))
    assert len(set(graph.layers)) == len(graph.layers)
    assert graph.by_name["permute"].op == "linear"
    assert graph.by_name["permute_1"].op == "permute"
    assert graph.layers[0] == INPUT
    assert graph.output != INPUT


def test_batch_norm_is_folded_where_a_layer_feeds_it_alone():
    graph = trace(net(), torch.zeros(1, 2, 4, 4))
    assert [node.op for node in graph.by_name["0.conv"].norms] == ["batch_norm"]
    assert graph.by_name["0.norm"].kind == "identity"

    class Shared(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.norm = nn.Conv2d(2, 2, 1), nn.BatchNorm2d(2)

        def forward(self, x):
            out = self.conv(x)
            return (self.norm(out) + out).flatten(1)

    kept = trace(Shared().eval(), torch.zeros(1, 2, 4, 4))
    assert kept.by_name["norm"].kind == "batch_norm"
    assert "not folded" in dict(kept.notes)["norm"]


def test_batch_norm_is_folded_into_the_layer_that_it_feeds_unless_padding_comes_between():
    class Before(nn.Module):
        def __init__(self, padding):
            super().__init__()
            self.norm, self.conv = nn.BatchNorm2d(4), nn.Conv2d(4, 6, 3, groups=2, padding=padding)
            self.norm1, self.head = nn.BatchNorm1d(6), nn.Linear(6, 3)

        def forward(self, x):
            return self.head(self.norm1(self.conv(self.norm(x)).relu().mean((2, 3))))

    plain, padded = (trace(Before(padding).eval(), torch.zeros(1, 4, 5, 5)) for padding in (0, 1))
    assert [node.name for node in plain.by_name["conv"].before] == ["norm"]
    assert [node.name for node in plain.by_name["head"].before] == ["norm1"]
    assert plain.by_name["norm"].kind == plain.by_name["norm1"].kind == "identity"
    assert padded.by_name["norm"].kind == "batch_norm"
    assert "not folded" in dict(padded.notes)["norm"]


@pytest.mark.parametrize("batch", [1, 2, 7])
def test_one_graph_serves_every_batch(batch):
    model = net()
    assert trace(model, torch.zeros(1, 2, 4, 4)) is trace(model, torch.zeros(batch, 2, 4, 4))


def test_a_model_with_a_fixed_batch_is_traced_for_it():
    class Fixed(nn.Module):
        def __init__(self):
            super().__init__()
            self.head = nn.Linear(4, 3)

        def forward(self, x):
            return self.head(x.reshape(3, 4))

    graph = trace(Fixed().eval(), torch.zeros(3, 2, 2))
    assert graph.batch == 3
    assert lrp.explain(Fixed().eval(), torch.ones(3, 2, 2)).input.shape == (3, 2, 2)


class WritesToItself(nn.Module):
    """Writes in place to a value that is read before, and after, and through a view."""

    def __init__(self, through_view):
        super().__init__()
        self.first, self.head, self.through_view = nn.Linear(6, 6), nn.Linear(6, 3), through_view

    def forward(self, x):
        out = self.first(x)
        before = out * 2
        view = out.view(-1, 3, 2) if self.through_view else None
        out.add_(0.1).mul_(3.0)
        out = out + view.flatten(1) if view is not None else out
        return self.head(out + before)


@pytest.mark.parametrize("through_view", [False, True])
def test_in_place_operations_keep_their_meaning(through_view, monkeypatch):
    torch.manual_seed(1)
    model, x = WritesToItself(through_view).double().eval(), torch.randn(4, 6, dtype=torch.float64)
    traced_again = []
    original = torch.export.ExportedProgram.run_decompositions
    monkeypatch.setattr(
        torch.export.ExportedProgram, "run_decompositions", lambda *a: traced_again.append(1) or original(*a)
    )
    relevance = lrp.explain(model, x, composite=lrp.composites.Uniform(lrp.rules.Zero(0.0)), target=1)
    assert bool(traced_again) == through_view
    torch.testing.assert_close(relevance.logits, model(x), rtol=1e-12, atol=1e-12)
    x.requires_grad_()
    model(x)[:, 1].sum().backward()
    torch.testing.assert_close(relevance.input, x.detach() * x.grad, rtol=1e-10, atol=1e-12)


def test_the_functional_program_writes_nothing():
    example = (torch.zeros(2, 2, 4, 4),)
    program = make_functional(torch.export.export(net(), example, strict=False))
    calls = [node for node in program.graph.nodes if node.op == "call_function"]
    assert not any(getattr(node.target, "_schema", None) and node.target._schema.is_mutable for node in calls)


def test_every_operation_of_the_table_has_a_kind_that_is_described():
    named = {op.kind for op in OPS.values()} | {op.pair for op in OPS.values() if op.pair}
    assert named - {"unknown"} <= set(KINDS)


def test_a_spelling_by_functions_is_the_same_graph():
    class Functional(nn.Module):
        def __init__(self, norm):
            super().__init__()
            self.conv, self.norm, self.head = nn.Conv2d(2, 3, 3), norm, nn.Linear(12, 3)

        def forward(self, x):
            x = F.gelu(self.conv(x)) if self.norm is None else self.norm(self.conv(x))
            return self.head(torch.flatten(x, 1))

    kinds = [
        [node.kind for node in trace(Functional(norm).eval(), torch.zeros(1, 2, 4, 4)) if node.inputs]
        for norm in (None, nn.GELU())
    ]
    assert kinds[0] == kinds[1]


def test_threads_that_meet_at_a_fresh_model_get_one_graph():
    from concurrent.futures import ThreadPoolExecutor

    for seed in range(6):
        torch.manual_seed(seed)
        model = net()
        with ThreadPoolExecutor(4) as threads:
            graphs = list(threads.map(lambda _, m=model: trace(m, torch.zeros(1, 2, 4, 4)), range(8)))
        assert all(graph is graphs[0] for graph in graphs)
