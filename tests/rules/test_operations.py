"""Operations that classifiers are written with, each between two layers: what must hold of its relevance does."""

import pytest
import torch
from refusals import refused
from torch import nn
from torch.nn import functional as F

import lrp_explorer as lrp
from lrp_explorer import rules
from lrp_explorer.composites import Uniform
from lrp_explorer.errors import CoverageError

TOLERANCE = 1e-10
TINY = 1e-15


class Between(nn.Module):
    """A function of a convolution's output, read by a dense layer."""

    def __init__(self, function):
        super().__init__()
        self.conv, self.head, self.function = nn.Conv2d(2, 8, 3, padding=1), nn.LazyLinear(4), function
        self.w = nn.Parameter(torch.randn(5, 8))
        self.register_buffer("c", torch.randn(8, 1, 1))
        self.register_buffer("mask", torch.arange(8).view(8, 1, 1) % 3 > 0)
        self.register_buffer("index", torch.tensor([3, 0, 0, 5]))

    def forward(self, x):
        return self.head(self.function(self, self.conv(x)).flatten(1))


def written_into(h):
    out = torch.zeros_like(h)
    out[:, 2:5] = h[:, 2:5]
    out[:, 5:] = 0.5
    out[:, 0, 1] = h[:, 3, 2]
    return out


def cleared(h):
    out = h.clone()
    out[:, 2:5, 1] = 0.0
    return out


def sampled(h):
    places = torch.tensor([0.3, -0.2], dtype=h.dtype).expand(h.shape[0], 4, 4, 2)
    return F.grid_sample(h, places, align_corners=False)


PIECEWISE_LINEAR = {
    "where, constant mask": lambda m, h: torch.where(m.mask, h, 0.3),
    "where, two values": lambda m, h: torch.where(m.mask, h, -h.flip(1)),
    "where, by its own sign": lambda m, h: torch.where(h > 0, h, 0.1 * h),
    "where, two conditions": lambda m, h: torch.where((h > 0) & (h < 1), h, h * 0.2),
    "masked fill": lambda m, h: h.masked_fill(m.mask, 0.7),
    "chosen by a comparison": lambda m, h: h * (h > 0).to(h.dtype),
    "gather": lambda m, h: h.gather(1, m.index.view(1, 4, 1, 1).expand(h.shape[0], 4, 6, 6)),
    "index select": lambda m, h: h.index_select(1, m.index),
    "take along": lambda m, h: torch.take_along_dim(h, m.index.view(1, 4, 1, 1), 1),
    "slices written": lambda m, h: written_into(h),
    "slices cleared": lambda m, h: cleared(h),
    "slice scatter": lambda m, h: torch.slice_scatter(h.flip(1), h[:, :, :2], 2, 1, 3),
    "patches": lambda m, h: F.unfold(h, 3, padding=1),
    "patches and back": lambda m, h: F.fold(F.unfold(h, 3, padding=1), (6, 6), 3, padding=1),
    "reflected": lambda m, h: F.pad(h, (1, 2, 1, 1), mode="reflect"),
    "repeated edge": lambda m, h: F.pad(h, (1, 2, 1, 1), mode="replicate"),
    "turned over the edge": lambda m, h: F.pad(h, (1, 2, 1, 1), mode="circular"),
    "rolled": lambda m, h: h.roll((1, 2), (2, 3)),
    "turned": lambda m, h: torch.rot90(h, 1, (2, 3)),
    "tiled": lambda m, h: h.tile(1, 1, 2, 1),
    "repeat interleave": lambda m, h: h.repeat_interleave(2, 1),
    "pixel shuffle": lambda m, h: F.pixel_shuffle(h, 2),
    "unbind, stack": lambda m, h: torch.stack(list(reversed(h.unbind(1))), 2),
    "hsplit, moveaxis": lambda m, h: h.hsplit(2)[1].moveaxis(1, -1),
    "broadcast": lambda m, h: torch.broadcast_tensors(h[:, :1], h)[0],
    "diagonal": lambda m, h: h.diagonal(0, 2, 3) + h.tril().sum(-1),
    "differences": lambda m, h: h.diff(dim=1),
    "bicubic": lambda m, h: F.interpolate(h, scale_factor=2, mode="bicubic"),
    "bicubic, antialiased": lambda m, h: F.interpolate(h, size=(4, 4), mode="bicubic", antialias=True),
    "sampled on a grid": lambda m, h: sampled(h),
    "einsum": lambda m, h: torch.einsum("bchw,dc->bdhw", h, m.w),
    "einsum from the left": lambda m, h: torch.einsum("dc,bchw->bdhw", m.w, h),
    "einsum, two constants": lambda m, h: torch.einsum("bchw,dc,ed->behw", h, m.w, m.w[:, :5]),
    "einsum of one": lambda m, h: torch.einsum("bchw->bhc", h),
    "tensordot": lambda m, h: torch.tensordot(h, m.w, ([1], [1])),
    "matrix and vector": lambda m, h: torch.matmul(h.mean((2, 3)), m.w[0])[:, None],
    "weights read the other way": lambda m, h: F.linear(m.w, h.mean((2, 3))[0])[None].expand(h.shape[0], -1, -1),
    "joined by other names": lambda m, h: torch.concat(
        [torch.hstack([h, torch.negative(h)]), torch.column_stack([torch.fliplr(h), torch.absolute(h)])], -1
    ),
    "joined along the third axis": lambda m, h: torch.concatenate([torch.dstack([h, -h]), torch.dstack([h, h])], 2),
    "addcmul": lambda m, h: torch.addcmul(m.c, h, m.c, value=0.5),
    "addcdiv": lambda m, h: torch.addcdiv(h, h.flip(1), m.c.abs() + 1),
    "lerp": lambda m, h: torch.lerp(h, h.relu(), 0.3) + torch.lerp(h, h.flip(1), m.c),
    "addmm with factors": lambda m, h: torch.addmm(m.w[0, :5], h.mean((2, 3)), m.w.t(), beta=0.5, alpha=2.0),
    "other names": lambda m, h: torch.true_divide(torch.multiply(torch.subtract(h, m.c), 2.0), 3.0),
    "maximum of two": lambda m, h: torch.maximum(h, h.flip(2)),
    "maximum with a constant": lambda m, h: torch.maximum(h, m.c),
    "minimum of two": lambda m, h: torch.minimum(h, h.flip(2)),
    "max over an axis": lambda m, h: h.max(2)[0],
    "amin": lambda m, h: h.amin((2, 3)),
    "adaptive maximum": lambda m, h: F.adaptive_max_pool2d(h, 4),
    "norm": lambda m, h: h.norm(dim=1),
    "standard deviation": lambda m, h: h.std((2, 3)),
    "dropout of all kinds": lambda m, h: F.alpha_dropout(F.dropout2d(h, 0.3, m.training), 0.3, m.training),
}


def recorded(function, batch=3):
    torch.manual_seed(0)
    model = Between(function).double().eval()
    x = torch.randn(batch, 2, 6, 6, dtype=torch.float64)
    with torch.no_grad():
        model(x)
    return model, x, lrp.Session(model, x, device="cpu")


def add_up(relevance, tolerance=TOLERANCE):
    for row in relevance.ledger:
        missing = row.relevance_in - row.relevance_out - row.to_bias - row.to_epsilon - row.other
        assert abs(missing) <= tolerance * max(abs(row.relevance_in), row.magnitude), row


@pytest.mark.parametrize("name", PIECEWISE_LINEAR)
def test_zero_is_input_times_gradient(name):
    """Whatever is homogeneous of degree one, norms and standard deviations included, is exact."""
    model, x, session = recorded(PIECEWISE_LINEAR[name], 1 if name == "weights read the other way" else 3)
    torch.testing.assert_close(session.logits, model(x), rtol=1e-12, atol=1e-12)
    composite = Uniform(rules.Zero(TINY))
    products = {row.layer: rules.EqualSplit(TINY) for row in session.coverage(composite) if "EqualSplit" in row.rule}
    relevance = session.relevance(target=1, composite=composite.override(products))
    leaf = x.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(model(leaf)[:, 1].sum(), leaf)
    error = float((relevance.input - gradient * x).abs().max() / (gradient * x).abs().max())
    assert error < TOLERANCE
    add_up(relevance)


OTHERS = {
    "glu": lambda m, h: F.glu(h, 1),
    "log sigmoid": lambda m, h: F.logsigmoid(h),
    "variance": lambda m, h: h.var((2, 3)),
    "normalised by hand": lambda m, h: (h - h.mean(1, keepdim=True)) / (h.std(1, keepdim=True) + 1e-5),
    "variance and mean": lambda m, h: (
        (h - torch.var_mean(h, 1)[1][:, None]) * (torch.var_mean(h, 1)[0][:, None] + 1).rsqrt()
    ),
    "clipped, then an angle": lambda m, h: torch.arctan(torch.clip(h, -0.5, 0.7)),
    "cosines": lambda m, h: F.cosine_similarity(h.mean((2, 3))[:, None], m.w[None], -1),
    "unit vectors": lambda m, h: F.linear(F.normalize(h.mean((2, 3))), F.normalize(m.w)),
    "the same value twice": lambda m, h: torch.matmul(h, h),
    "einsum of two": lambda m, h: torch.einsum("bchw,bdhw->bcd", h, h.relu()),
    "baddbmm": lambda m, h: torch.baddbmm(h[:, 0], h[:, 1], h[:, 2], beta=0.5),
    "weights from the input": lambda m, h: F.conv1d(h[:1].flatten(2), h[:1].mean(3).view(2, 8, 3), m.w[0, :2]),
    "logits of classes": lambda m, h: F.log_softmax(h.mean((2, 3)), 1),
    "counted": lambda m, h: (h > 0).to(h.dtype).sum(1) + h[:, 0],
}


@pytest.mark.parametrize("name", OTHERS)
def test_the_ledger_adds_up(name):
    model, x, session = recorded(OTHERS[name], 1 if name == "weights from the input" else 3)
    torch.testing.assert_close(session.logits, model(x), rtol=1e-12, atol=1e-12)
    for composite in (Uniform(rules.Zero(TINY)), "epsilon-plus-flat"):
        relevance = session.relevance(target=1, composite=composite)
        assert bool(torch.isfinite(relevance.input).all())
        assert float(relevance.input.abs().max()) > 0
        add_up(relevance)


@pytest.mark.parametrize("factors", [lambda h: (h, h), lambda h: (h, h.transpose(2, 3))], ids=["same", "turned"])
def test_a_matrix_times_itself_is_shared_by_halves(factors):
    _, _, session = recorded(lambda m, h: torch.matmul(*factors(h)))
    (layer,) = [row.layer for row in session.coverage() if row.op == "matmul"]
    relevance = session.relevance(
        target=1, composite=Uniform(rules.Zero(TINY)).override({layer: rules.EqualSplit(0.0)})
    )
    totals = relevance.sums()
    torch.testing.assert_close(totals["conv"], totals[layer], rtol=1e-10, atol=1e-12)


def test_a_norm_is_shared_by_squares():
    model, x, session = recorded(
        lambda m, h: torch.linalg.vector_norm(h, dim=(1, 2, 3), keepdim=True).expand(-1, 2, -1, -1)
    )
    relevance = session.relevance(target=1, composite=Uniform().override({"linalg_vector_norm": rules.EqualSplit(0.0)}))
    h = model.conv(x).detach()
    wanted = h.square() / h.square().sum((1, 2, 3), keepdim=True) * relevance["linalg_vector_norm"]
    torch.testing.assert_close(relevance["conv"], wanted, rtol=1e-10, atol=1e-12)


REFUSED = {
    "cumprod": lambda m, h: h.cumprod(1),
    "round": lambda m, h: h.round(),
    "scatter": lambda m, h: h.scatter(1, m.index.view(1, 4, 1, 1), h, reduce="multiply"),
    "cdist": lambda m, h: torch.cdist(h.mean((2, 3)), m.w),
    "div": lambda m, h: torch.div(h, 3.0, rounding_mode="floor"),
    "group_norm": lambda m, h: F.group_norm(h, 1, h[0, :, 0, 0]),
}


@pytest.mark.parametrize("op", REFUSED)
def test_what_has_no_rule_names_the_operation_its_line_and_what_could_serve(op):
    with refused(CoverageError, rf"operation '{op}'", r"test_operations\.py:\d+", "Gradient", "override"):
        recorded(REFUSED[op])[2].relevance()
