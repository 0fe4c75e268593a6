"""Values written into slices, masks and places: what is overwritten receives nothing, what is kept or written its own.

Spellings of one group stand side by side in one network, each read by weights of its own.
"""

import pytest
import torch
from oracles.side_by_side import ready, zero_of
from torch import nn
from torch.nn import functional as F

import lrp_explorer as lrp
from lrp_explorer.graph import trace


def changed(write, *, copy=True):
    """Turn a statement that writes into its argument into a function that returns what was written into."""

    def function(m, y):
        y = y.clone() if copy else y * 1.0
        write(m, y)
        return y

    return function


def setting(place, value):
    return changed(lambda m, y: y.__setitem__(place, value))


def at(m, y):
    return m.index.view(1, 3, 1, 1).expand(len(y), 3, 5, 5)


def rows(m, y):
    return torch.arange(y.shape[0])[:, None], m.index[None]


def values_kept(m, y):
    out = y.new_full(y.shape, 0.3)
    out[:, 2:5] = y[:, :3]
    out[:, 0] = y[:, 2]
    return out


def swapped(m, y):
    out = y.clone()
    out[:, 0], out[:, 1] = y[:, 1], y[:, 0]
    return out


def diagonal_of_one(m, y):
    z = y[0, 0].clone()
    z.fill_diagonal_(0.4)
    return y + z


CONSTANTS = {
    "slice, a number": setting((slice(None), 0), 0.0),
    "slice, of a value just computed": changed(lambda m, y: y.__setitem__((slice(None), 0), 0.5), copy=False),
    "zero_": changed(lambda m, y: y[:, 0].zero_()),
    "fill_": changed(lambda m, y: y[:, 0].fill_(0.3)),
    "fill_ by a tensor": changed(lambda m, y: y[:, 0].fill_(torch.tensor(0.3, dtype=y.dtype))),
    "fill_ of all": lambda m, y: y + y.clone().fill_(0.3),
    "several places": setting((slice(None), [0, 3]), 0.0),
    "two lists": setting((slice(None), slice(None), [0, 3], [1, 2]), 0.3),
    "a new axis": setting((slice(None), None, 2), 0.1),
    "slice of a slice": changed(lambda m, y: y[:, 0][:, 1:3][..., 2].fill_(1.0)),
    "a constant tensor": changed(lambda m, y: y.__setitem__((slice(None), slice(1, 4)), m.c)),
    "negative places": setting((..., slice(-2, None)), 0.0),
    "diagonal": changed(lambda m, y: y.diagonal(0, 2, 3).zero_()),
    "diagonal of one": diagonal_of_one,
    "lower triangle": changed(lambda m, y: y.triu_()),
}
MASKS = {
    "masked_fill": lambda m, y: y.masked_fill(y < 0.3, 0.2),
    "masked_fill_": changed(lambda m, y: y.masked_fill_(y > 0.4, 0.4)),
    "mask, a number": changed(lambda m, y: y.__setitem__(y < 0.3, 0.2)),
    "mask of all channels": changed(lambda m, y: y.__setitem__((slice(None), m.c[:, 0, 0].repeat(2) > 0), 0.2)),
    "mask, values": changed(lambda m, y: y.__setitem__(y > 0.3, (2 * y)[y > 0.3])),
    "mask, in place": changed(lambda m, y: y.__setitem__(y > 0.3, y[y > 0.3] * 2)),
    "where": lambda m, y: torch.where(y < 0.3, 0.0, y),
    "where, the largest": lambda m, y: torch.where(y == y.amax((2, 3), keepdim=True), 0.0, y),
    "masked_scatter": lambda m, y: y.masked_scatter(y > 0.3, (2 * y).flip(1)),
    "clamp_ of a slice": changed(lambda m, y: y[:, 0].clamp_(min=0.0)),
    "nan_to_num_": changed(lambda m, y: y.nan_to_num_()),
    "dropout in place": lambda m, y: F.dropout(y.clone(), 0.3, m.training, inplace=True),
}
PLACES = {
    "index_fill_": changed(lambda m, y: y.index_fill_(1, m.index, 0.5)),
    "index_copy_": changed(lambda m, y: y.index_copy_(1, m.index, 2 * y[:, 1:4])),
    "index_copy_, constants": changed(lambda m, y: y.index_copy_(1, m.index, m.c.expand(len(y), -1, 5, 5))),
    "index_put_": changed(lambda m, y: y.index_put_(rows(m, y), 3 * y[:, 2:5])),
    "index_put_, adding": changed(lambda m, y: y.index_put_(rows(m, y), 3 * y[:, 2:5], accumulate=True)),
    "index_add_": changed(lambda m, y: y.index_add_(1, m.index, 3 * y[:, 2:5], alpha=2)),
    "index_add_, taking away": changed(lambda m, y: y.index_add_(1, m.index, 3 * y[:, 2:5], alpha=-2)),
    "index_add_, constants": changed(lambda m, y: y.index_add_(1, m.index, m.c.expand(len(y), -1, 5, 5))),
    "index_add_, to constants": lambda m, y: torch.ones_like(y).index_add_(1, m.index, y[:, 2:5]),
    "scatter_": changed(lambda m, y: y.scatter_(1, at(m, y), 2 * y[:, 2:5])),
    "scatter_, a number": changed(lambda m, y: y.scatter_(1, at(m, y), 0.7)),
    "scatter_add_": changed(lambda m, y: y.scatter_add_(1, at(m, y), 2 * y[:, 2:5])),
    "scatter_reduce": lambda m, y: y.scatter_reduce(1, at(m, y), 2 * y[:, 2:5], reduce="sum"),
    "select_scatter": lambda m, y: y.select_scatter(y[:, 3] * 2, 1, 0),
    "slice_scatter": lambda m, y: y.slice_scatter(y[:, 3:5] * 2, 1, 0, 2),
    "put_": changed(lambda m, y: y.put_(torch.tensor([1, 5]), torch.tensor([0.0, 1.0], dtype=y.dtype))),
}
VIEWS = {
    "copy_": lambda m, y: torch.empty_like(y).copy_(2 * y),
    "copy_ of a slice": changed(lambda m, y: y[:, 1].copy_(2 * y[:, 0])),
    "one channel for two": changed(lambda m, y: y.__setitem__((slice(None), slice(1, 3)), y[:, :1] * 1.0)),
    "every second halved": changed(lambda m, y: y[..., ::2].mul_(0.5)),
    "added into a slice": changed(lambda m, y: y[:, 2:4].add_(y[:, 4:6])),
    "moved by one": changed(lambda m, y: y.__setitem__((slice(None), slice(1, None)), y[:, :-1].clone())),
    "into constants": values_kept,
    "swapped": swapped,
    "scaled and shifted": changed(lambda m, y: y[:, 0].mul_(2).add_(1.0)),
    "rectified": lambda m, y: changed(lambda m, z: z[:, :4].relu_())(m, y - 0.3),
    "addcmul_": changed(lambda m, y: y[:, :3].addcmul_(y[:, 3:6], m.c)),
    "lerp_": changed(lambda m, y: y[:, :3].lerp_(y[:, 3:6], 0.3)),
    "by index, doubled": changed(lambda m, y: y.__setitem__((slice(None), m.index), y[:, m.index] * 2)),
    "the mean of all": changed(lambda m, y: y.__setitem__((slice(None), 2), y.mean())),
}
GROUPS = {"constants": CONSTANTS, "masks": MASKS, "places": PLACES, "views": VIEWS}


@pytest.mark.parametrize("group", GROUPS)
def test_lrp_0_is_input_times_gradient(group):
    model, x = ready(*GROUPS[group].values())
    session = lrp.Session(model, x, device="cpu")
    torch.testing.assert_close(session.logits, model(x), rtol=1e-12, atol=1e-12)
    relevance = session.relevance(target=1, composite=zero_of(session))
    leaf = x.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(model(leaf)[:, 1].sum(), leaf)
    wanted = gradient * x
    torch.testing.assert_close(relevance.input, wanted, rtol=1e-10, atol=1e-10 * float(wanted.abs().max()))
    for row in relevance.ledger:
        missing = row.relevance_in - row.relevance_out - row.to_bias - row.to_epsilon - row.other
        assert abs(missing) <= 1e-10 * max(abs(row.relevance_in), row.magnitude), row


def test_constants_keep_theirs_in_the_ledger():
    """y[:, :3] = c: the ledger's bias part is what arrived at the places written; those below receive nothing."""
    model, x = ready(setting((slice(None), slice(0, 3)), 0.5))
    session = lrp.Session(model, x, device="cpu")
    found = session.relevance(target=1, composite=zero_of(session))
    weight = model.head.weight[1].reshape(6, 5, 5).detach()
    written = next(row for row in found.ledger if row.layer == "slice_scatter")
    assert written.to_bias == pytest.approx(2 * 0.5 * float(weight[:3].sum()), rel=1e-10)
    below = found[session.graph.by_name["slice_scatter"].inputs[-1]]
    kept = model.conv(x).relu().detach()[:, 3:] * weight[3:]
    assert not below[:, :3].any()
    torch.testing.assert_close(below[:, 3:], kept, rtol=1e-10, atol=1e-12)


def test_paths_lead_through_what_is_kept_and_written():
    """What is written over has no path to the output; in single precision, where elements are in double."""

    class Written(nn.Module):
        def forward(self, x):
            y = x.clone()
            y[y < 0.3] = 0.0
            y[:, 0].copy_(y[:, 1])
            y.index_fill_(1, torch.tensor([3]), 1.0)
            y.index_copy_(1, torch.tensor([4]), torch.full((len(x), 1, 3, 3), 0.5))
            return y.mean((2, 3))

    x = torch.rand(2, 6, 3, 3, generator=torch.Generator().manual_seed(0))
    session = lrp.Session(Written().eval(), x, device="cpu")
    for target, source in [(0, 1), (1, 1), (2, 2), (3, None), (4, None), (5, 5)]:
        found = session.relevance(target=target, semiring=lrp.semirings.Counting(theta=1e-9)).input
        paths = torch.zeros_like(found)
        if source is not None:
            paths[:, source] = (x[:, source] >= 0.3).to(paths)
        assert torch.equal(found, paths), target


def test_values_added_are_one_sum_with_what_was_there():
    model, x = ready(PLACES["index_add_"], PLACES["index_add_, constants"])
    kinds = {node.name: node.kind for node in trace(model, x) if node.op in ("add", "index_add")}
    assert sorted(kinds.values()) == ["constant", "interpolation", "shift", "sum"]


def test_settings_swept_as_one_batch_are_those_alone():
    model, x = ready(PLACES["index_put_, adding"], PLACES["scatter_add_"], PLACES["index_add_, to constants"])
    session = lrp.Session(model, x, device="cpu")
    for one, target in zip(session.sweep("target", [0, 1, 2]), range(3), strict=True):
        torch.testing.assert_close(one.input, session.relevance(target=target).input, rtol=1e-10, atol=1e-12)
