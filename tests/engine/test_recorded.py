"""A session answers for what it recorded, whatever is written later to what it was given or has handed out."""

import pytest
import torch
from refusals import refused
from torch import nn

import lrp_explorer as lrp
from lrp_explorer import rules
from lrp_explorer.composites import EpsilonPlusFlat, Uniform
from lrp_explorer.engine.watch import Watch
from lrp_explorer.errors import InputError


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    features = nn.Sequential(nn.Conv2d(1, 3, 3, bias=False), nn.BatchNorm2d(3), nn.ReLU(), nn.Flatten())
    features[1].running_mean.normal_()
    return nn.Sequential(*features, nn.Linear(48, 40), nn.ReLU(), nn.Linear(40, 4)).double().eval()


@pytest.fixture
def x():
    return torch.randn(2, 1, 6, 6, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


SETTINGS = {"target": 1, "composite": EpsilonPlusFlat()}


class TestWhatWasGiven:
    @pytest.mark.parametrize("write", [lambda x: x.mul_(-3), lambda x: x.data.zero_(), lambda x: x.numpy().fill(7.0)])
    def test_the_input(self, model, x, write):
        wanted = lrp.explain(model, x.clone(), **SETTINGS, device="cpu")
        session = lrp.Session(model, x, "cpu")
        explained = lrp.explain(model, x, **SETTINGS, device="cpu")
        write(x)
        found = session.relevance(**SETTINGS)
        assert torch.equal(found.input, wanted.input)
        assert list(found.ledger) == list(explained.ledger) == list(wanted.ledger)
        every = session.sweep("target", [0, 1], composite=Uniform())
        torch.testing.assert_close(every[1].input, session.relevance(1, Uniform()).input, rtol=1e-12, atol=1e-14)

    def test_an_input_in_another_order_of_the_memory(self, model, x):
        turned = x.transpose(2, 3).contiguous().transpose(2, 3)
        session = lrp.Session(model, turned, "cpu")
        turned.fill_(5.0)
        assert torch.equal(session.relevance(**SETTINGS).input, lrp.explain(model, x, **SETTINGS, device="cpu").input)

    def test_a_view_of_a_batch_of_ones_own(self, model, x):
        batch = torch.cat([x, x])
        session = lrp.Session(model, batch[1:3], "cpu").another(batch[1:3])
        wanted = lrp.explain(model, batch[1:3].clone(), **SETTINGS, device="cpu").input
        batch.zero_()
        assert torch.equal(session.relevance(**SETTINGS).input, wanted)

    def test_targets_and_seeds(self, model, x):
        session = lrp.Session(model, x, "cpu")
        target, seed = torch.tensor([1, 2]), torch.ones(2, 4, dtype=torch.float64)
        found = session.relevance(target), session.relevance(seed=seed), session.relevance(target, semiring="boolean")
        target.fill_(0)
        seed.fill_(9.0)
        assert found[0].target.tolist() == found[2].target.tolist() == [1, 2]
        assert torch.equal(found[1].start, torch.ones_like(seed))


class TestWhatWasHandedOut:
    def test_logits_of_the_session(self, model, x):
        session = lrp.Session(model, x, "cpu")
        wanted = session.relevance(**SETTINGS, seed="contrast")
        session.logits.fill_(7.0)
        session.logits.numpy().fill(3.0)
        assert torch.equal(session.logits, wanted.logits)
        assert torch.equal(session.relevance(2, "uniform", seed="contrast").start[:, 2], wanted.logits[:, 2])

    def test_logits_targets_and_starts_of_an_answer(self, model, x):
        session = lrp.Session(model, x, "cpu")
        for semiring in ("real", "boolean"):
            found = session.relevance(1, semiring=semiring)
            before = {name: value.clone() for name, value in found.maps.items()}
            found.logits.fill_(7.0)
            found.target.fill_(3)
            found.start.zero_()
            if semiring == "real":
                assert all(torch.equal(found[name], value) for name, value in before.items())
                assert found.ledger[0].relevance_in == pytest.approx(float(session.logits[:, 1].sum()), rel=1e-12)
        again = session.relevance(1)
        assert torch.equal(again.logits, session.logits)
        assert again.target.tolist() == [1, 1]

    def test_a_map_that_was_written_to_has_no_ledger_any_more(self, model, x):
        found = lrp.explain(model, x, **SETTINGS, device="cpu")
        found["5"].abs_()
        with refused(InputError, r"layer '\d'", "written to", "ledger", "clone"):
            found.ledger  # noqa: B018


class TestWeights:
    @pytest.mark.parametrize(
        "write",
        [
            lambda net: net[6].weight.data.mul_(1.5),
            lambda net: net[4].weight.data.copy_(net[4].weight.data.renorm(2, 0, 0.1)),
            lambda net: net[4].bias.data.add_(0.5),
            lambda net: net[1].running_mean.data.zero_(),
            lambda net: net[0].weight.data.neg_(),
            lambda net: net[6].weight.detach().numpy().fill(0.25),
            lambda net: nn.init.normal_(net[6].weight),
        ],
        ids=["scaled", "max-norm", "bias", "statistics", "turned", "by numpy", "anew"],
    )
    def test_written_to_are_refused_and_so_is_the_ledger_that_needs_them(self, model, x, write):
        state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
        session = lrp.Session(model, x, "cpu")
        kept, alone = session.relevance(0, Uniform()), lrp.explain(model, x, 0, Uniform(), device="cpu")
        try:
            write(model)
            assert session.changed
            calls = (
                lambda: session.relevance(**SETTINGS),
                lambda: session.relevance(1, semiring="viterbi"),
                lambda: session.sweep("target", [0, 1]),
                lambda: kept.ledger,
                lambda: alone.ledger,
            )
            for call in calls:
                with refused(InputError, "weights have changed", r"Session\(model, x\)"):
                    call()
            now = session.another(x).relevance(**SETTINGS).input
            assert torch.equal(now, lrp.explain(model, x, **SETTINGS, device="cpu").input)
        finally:
            model.load_state_dict(state)
        # As they were: no reason to stop.
        assert not torch.equal(session.relevance(**SETTINGS).input, now)
        assert kept.ledger[0].layer == "6"

    def test_replaced_ones_leave_the_recorded_ones(self, model, x):
        session = lrp.Session(model, x, "cpu")
        wanted = session.relevance(**SETTINGS)
        before = model[6].weight.data
        try:
            model[6].weight.data = torch.zeros_like(before)
            again = session.relevance(1, EpsilonPlusFlat().override({"6": rules.Epsilon(1e-9)}))
        finally:
            model[6].weight.data = before
        torch.testing.assert_close(again.input, wanted.input, rtol=1e-4, atol=1e-9)


def test_what_is_watched_is_every_type_and_every_order_of_the_memory():
    wide = torch.randn(300, 70)
    tensors = [
        *(torch.randn(3, 2).to(dtype) for dtype in (torch.float16, torch.bfloat16, torch.float64, torch.complex64)),
        *(torch.arange(4), torch.tensor([True, False]), torch.tensor(3.0), torch.empty(0, 4)),
        *(wide, wide.t(), torch.randn(2, 3, 4, 5).contiguous(memory_format=torch.channels_last)),
        torch.tensor([torch.nan, 1.0]),
    ]
    watch = Watch(tensors)
    before = watch.state()
    assert watch.state() == before
    for tensor in tensors:
        if tensor.numel():
            kept = tensor.clone()
            tensor.data[...] = ~kept if tensor.dtype == torch.bool else kept + 1
            assert watch.state() != before, tensor.dtype
            tensor.data[...] = kept
            assert watch.state() == before, tensor.dtype
