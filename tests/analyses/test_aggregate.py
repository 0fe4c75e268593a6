"""Masks of real digits against stacking every explanation; bad data sets and settings are refused by name."""

import copy
import dataclasses
import inspect

import numpy as np
import pytest
import torch
from refusals import refused
from torch import nn
from torch.utils.data import Subset, TensorDataset

import lrp_explorer as lrp
from lrp_explorer import errors
from lrp_explorer.analyses.aggregate import aggregate, prepare
from lrp_explorer.analyses.selection import batch_size
from lrp_explorer.errors import DataError, InputError, ModelError, NumericsError, UnknownNameError

THETA = 0.004
EVERYTHING = ("and", "or", "min", "max", "mean", "std", "count", "quantile(0.9)", "vote(0.5)")


def masks_of(model, data, **settings):
    return aggregate(model, data, **{"progress": False, "device": "cpu"} | settings)


def copies(data, indices):
    """The same examples as a plain data set that lists no labels."""
    pairs = [data[i] for i in indices]
    return TensorDataset(torch.stack([x for x, _ in pairs]), torch.tensor([label for _, label in pairs]))


class TestAgainstStacking:
    """Relevance may differ in its last float32 bits between batch sizes, so masks are compared on that scale."""

    @pytest.mark.parametrize("batch", [17, 256])
    def test_every_reduction_class_and_layer_from_one_pass(self, model, digits, stacked, batch):
        masks = masks_of(model, digits, layer=list(stacked), reduce=EVERYTHING, batch=batch, theta=THETA)
        assert masks.classes == (*range(10), "all")
        labels = np.array(digits.labels)
        assert masks.counts == (*(int((labels == one).sum()) for one in range(10)), 539)
        assert masks.complete
        for layer, relevance in stacked.items():
            scale = np.abs(relevance).max()
            rows = [relevance[labels == one] for one in range(10)] + [relevance]
            near = np.stack([(np.abs(group - THETA) < 1e-6 * scale).any(0) for group in rows])
            expected = {
                "min": np.stack([group.min(0) for group in rows]),
                "max": np.stack([group.max(0) for group in rows]),
                "mean": np.stack([group.astype(np.float64).mean(0) for group in rows]),
                "std": np.stack([group.astype(np.float64).std(0) for group in rows]),
                "quantile(0.9)": np.stack([np.quantile(group.astype(np.float64), 0.9, axis=0) for group in rows]),
            }
            for name, values in expected.items():
                np.testing.assert_allclose(masks[layer, name], values, rtol=1e-6, atol=1e-6 * scale, err_msg=name)
            relevant = [group >= np.float32(THETA) for group in rows]
            assert 0.01 < np.concatenate(relevant).mean() < 0.99
            decided = {
                "and": [group.all(0) for group in relevant],
                "or": [group.any(0) for group in relevant],
                "count": [group.sum(0) for group in relevant],
                "vote(0.5)": [2 * group.sum(0) >= len(group) for group in relevant],
            }
            for name, values in decided.items():
                # Where some example is a rounding error away from the threshold, it is not decided.
                np.testing.assert_array_equal(masks[layer, name][~near], np.stack(values)[~near], err_msg=name)
            assert near.mean() < 0.01

    def test_the_same_relevance_gives_the_same_bits_in_any_batch(self, model, digits):
        """In double precision, rounding the relevance away, everything that compares is equal to the bit."""
        small, data = model_in_double(model), digits
        one = masks_of(small, data, limit=9, reduce=EVERYTHING, batch=90, theta=1e-3)
        two = masks_of(small, data, limit=9, reduce=EVERYTHING, batch=7, theta=1e-3)
        for name in ("and", "or", "count", "vote(0.5)"):
            np.testing.assert_array_equal(one[name], two[name])
        for name in ("mean", "std", "min", "max", "quantile(0.9)"):
            np.testing.assert_allclose(one[name], two[name], rtol=1e-9, atol=1e-13)

    def test_the_order_of_the_data_set_does_not_matter(self, model, digits):
        indices = torch.randperm(100, generator=torch.Generator().manual_seed(0)).tolist()
        one = masks_of(model, copies(digits, range(100)), reduce=EVERYTHING)
        two = masks_of(model, copies(digits, indices), reduce=EVERYTHING)
        assert one.counts == two.counts
        for name in EVERYTHING:
            if one[name].dtype.kind == "f":
                np.testing.assert_allclose(one[name], two[name], rtol=1e-6, atol=1e-7)
            else:
                assert (one[name] != two[name]).mean() < 1e-3

    def test_a_threshold_moves_and_or_and_count(self, model, digits, stacked):
        theta = 0.02
        masks = masks_of(model, digits, classes=3, reduce=("and", "or", "count"), theta=theta)
        relevant = stacked["input"][np.array(digits.labels) == 3] >= np.float32(theta)
        assert masks.classes == (3,)
        assert 0 < relevant.any(0).sum() < relevant[0].size
        np.testing.assert_array_equal(masks["or"][0], relevant.any(0))
        np.testing.assert_array_equal(masks["count"][0], relevant.sum(0))
        np.testing.assert_array_equal(masks_of(model, digits, classes=3, reduce=("or",)).at(theta)["or"], masks["or"])


def model_in_double(model):
    return copy.deepcopy(model).double()


class TestWhichExamples:
    def test_the_limit_takes_the_first_of_each_class(self, model, digits, stacked):
        masks = masks_of(model, digits, classes=["7", 2], limit=5, reduce="mean")
        assert (masks.classes, masks.names, masks.counts, masks.planned) == ((7, 2), ("7", "2"), (5, 5), (5, 5))
        for row, one in enumerate((7, 2)):
            first = [i for i, label in enumerate(digits.labels) if label == one][:5]
            np.testing.assert_allclose(masks["mean"][row], stacked["input"][first].mean(0, dtype=float), atol=1e-8)

    def test_a_class_with_fewer_examples_than_the_limit_gives_what_it_has(self, model, digits):
        masks = masks_of(model, copies(digits, range(40)), limit=5, reduce="count")
        labels = digits.labels[:40]
        expected = [min(5, labels.count(one)) for one in sorted(set(labels))]
        assert masks.counts == (*expected, sum(expected))

    def test_the_unlabelled_belong_to_no_class(self, model, digits):
        x, labels = copies(digits, range(60)).tensors
        labels = labels.clone()
        labels[::2] = -1
        masks = masks_of(model, TensorDataset(x, labels), reduce="mean")
        assert masks.counts[-1] == 30
        assert -1 not in masks.classes

    def test_predictions_and_correct_ones(self, model, digits):
        x = torch.stack([digits[i][0] for i in range(len(digits))])
        predicted = model(x).argmax(1).tolist()
        wrong = [i for i, (p, label) in enumerate(zip(predicted, digits.labels, strict=True)) if p != label]
        assert wrong, "the model makes no mistake on these digits; the test needs some"
        by_prediction = masks_of(model, digits, target="prediction", reduce="count", batch=64)
        assert by_prediction.counts[:-1] == tuple(predicted.count(one) for one in range(10))
        right = masks_of(model, digits, only_correct=True, reduce="count", batch=64)
        assert right.counts[-1] == len(digits) - len(wrong)
        few = masks_of(model, digits, only_correct=True, reduce="mean", limit=2, classes=int(digits.labels[wrong[0]]))
        assert few.counts == (2,)

    def test_a_prediction_is_what_is_explained(self, model, digits):
        x = torch.stack([digits[i][0] for i in range(len(digits))])
        predicted = model(x).argmax(1)
        one = int(predicted[0])
        rows = predicted == one
        expected = lrp.explain(model, x[rows], target=one).input.double().mean(0).numpy()
        masks = masks_of(model, digits, target="prediction", classes=one, reduce="mean")
        np.testing.assert_allclose(masks["mean"][0], expected, rtol=1e-6, atol=1e-8)

    def test_by_name(self, model, digits):
        one = masks_of("digits-cnn", "digits", limit=2)
        two = masks_of(model, digits, limit=2)
        np.testing.assert_array_equal(one["mean"], two["mean"])
        assert one.settings["dataset"] == "digits"
        assert one.settings["split"] == "test"

    def test_batches_shrink_with_the_size_of_the_examples(self):
        assert batch_size((1, 28, 28)) == 256
        assert batch_size((3, 224, 224)) == 13
        assert batch_size((3, 4000, 4000)) == 1


class TestRefusals:
    @pytest.mark.parametrize(
        ("settings", "error", "words"),
        [
            ({"limit": 0}, InputError, ["limit is 0", "at least 1"]),
            ({"limit": True}, InputError, ["limit is True"]),
            ({"limit": 2.5}, InputError, ["limit is 2.5"]),
            ({"classes": []}, InputError, ["classes is empty"]),
            ({"classes": [1, 1]}, InputError, ["class 1 twice"]),
            ({"classes": 10}, InputError, ["class 10", "0 to 9"]),
            ({"classes": [True]}, InputError, ["True"]),
            ({"classes": "nine"}, UnknownNameError, ["nine", "index"]),
            ({"target": "guess"}, UnknownNameError, ["guess", "prediction"]),
            ({"layer": []}, InputError, ["layer"]),
            ({"layer": "conv9"}, UnknownNameError, ["conv9", "conv2"]),
            ({"batch": 0}, InputError, ["batch is 0"]),
            ({"theta": "x"}, InputError, ["theta is 'x'"]),
            ({"theta": 0.1, "semiring": "boolean"}, InputError, ["Boolean\\(theta"]),
            ({"semiring": "reel"}, UnknownNameError, ["semiring", "reel"]),
            ({"composite": "epsilon"}, UnknownNameError, ["composite", "epsilon"]),
            ({"runner": "spark"}, UnknownNameError, ["spark", "dask"]),
            ({"runner": 3}, InputError, ["runner is a int"]),
            ({"seed": torch.ones(1, 10)}, InputError, ["seed is a Tensor"]),
            ({"weights": "x.pt"}, InputError, ["module"]),
        ],
    )
    def test_settings(self, model, digits, settings, error, words):
        with refused(error, *words):
            masks_of(model, digits, **settings)

    def test_a_class_without_examples(self, model, digits):
        without = [i for i in range(60) if digits.labels[i] != 4]
        with refused(DataError, "class 4 has no example", "1"):
            masks_of(model, copies(digits, without), classes=[1, 4])
        with refused(DataError, "no example belongs to a class"):
            masks_of(model, TensorDataset(torch.rand(3, 1, 28, 28), torch.full((3,), -1)))
        with refused(DataError, "empty"):
            masks_of(model, TensorDataset(torch.rand(0, 1, 28, 28), torch.zeros(0)))

    def test_a_model_or_data_set_that_is_none(self, model, digits):
        with refused(ModelError, "a list", "name of the zoo"):
            masks_of([], digits)
        with refused(DataError, "a int", "len\\(data\\)"):
            masks_of(model, 5)
        with refused(UnknownNameError, "digits-cn", "digits-cnn"):
            masks_of("digits-cn", digits)
        with refused(DataError, "example 0", "Tensor", "expected"):
            masks_of(model, torch.rand(4, 1, 28, 28))

    def test_images_that_do_not_fit_the_model(self, model):
        with refused(InputError, "TensorDataset", "does not fit digits-cnn", r"\(1, 3, 28, 28\)"):
            masks_of(model, TensorDataset(torch.rand(5, 3, 28, 28), torch.zeros(5, dtype=torch.long)))
        odd = [(torch.rand(1, 28, 28), 0), (torch.rand(1, 28, 20), 0)]
        with refused(DataError, "example 1", r"\(1, 28, 20\)", "example 0"):
            masks_of(model, odd)

    @pytest.mark.parametrize("label", [2.5, -2, "three", None, torch.tensor([0, 1, 0])])
    def test_labels_that_are_no_class(self, model, digits, label):
        x = digits[0][0]
        with refused(DataError, "example 1 has the label", "expected a class index, or -1"):
            masks_of(model, [(x, 3), (x, label)])

        class Listed(list):
            targets = (3, label)

        with refused(DataError, "example 1 has the label", "expected a class index, or -1"):
            masks_of(model, Listed([(x, 3), (x, 3)]))

    def test_what_cannot_be_read_is_named_also_where_many_are_read_at_once(self, model, digits):
        class Torn(list):
            def __getitem__(self, index):
                if index == 7:
                    raise OSError("the file is cut short")
                return super().__getitem__(index)

        torn = Torn(digits[i] for i in range(12))
        torn.labels = digits.labels[:12]
        with refused(DataError, "example 7 of the data set cannot be read", "OSError: the file is cut short"):
            masks_of(model, torn)
        # PyTorch's own subsets read many at once; the seventh of all is the fourth of these.
        with refused(DataError, "example 4 of the data set cannot be read", "OSError: the file is cut short"):
            masks_of(model, Subset(torn, range(3, 12)))

    def test_a_data_set_that_reads_many_at_once_but_wrongly(self, model, digits):
        class Many(list):
            def __getitems__(self, indices):
                return self.give(self, indices)

        many = Many(digits[i] for i in range(12))
        many.give = lambda data, indices: [data[i] for i in indices][:1]
        with refused(DataError, "gave 1 examples for"):
            masks_of(model, many)
        many.give = lambda data, indices: [data[i] for i in indices] if len(indices) == 1 else data.index_select(0)
        with refused(DataError, r"examples 0 to 11 .* __getitems__ \(AttributeError: .*index_select"):
            masks_of(model, many)

    def test_labels_that_the_model_does_not_know(self, model, digits):
        x, labels = copies(digits, range(20)).tensors
        with refused(InputError, "has the label 12", "10 classes"):
            masks_of(model, TensorDataset(x, labels + 12 - labels))


class Fragile(nn.Module):
    """Fine with most digits; the square root of the first pixel is NaN where that is negative."""

    def __init__(self) -> None:
        super().__init__()
        self.dense = nn.Linear(784, 3)

    def forward(self, x):
        return self.dense(x.flatten(1)) * torch.sqrt(x[:, 0, 0, :1] + 1)


class TestNotFinite:
    @pytest.fixture
    def spoilt(self, digits):
        x, labels = copies(digits, range(50)).tensors
        x = x.clone()
        x[23, 0, 5, 5] = torch.nan
        x[31, 0, 1, 1] = torch.inf
        return TensorDataset(x, labels)

    def test_an_example_is_named_by_its_index(self, model, spoilt):
        with refused(DataError, "example (23|31) ", "1 of its 784 values", "skip_nonfinite"):
            masks_of(model, spoilt)

    def test_on_request_it_is_left_out_and_counted(self, model, spoilt, digits):
        masks = masks_of(model, spoilt, skip_nonfinite=True, reduce="mean")
        assert (masks.skipped, masks.skipped_examples) == (2, (23, 31))
        assert masks.counts[-1] == 48
        assert "2 skipped" in repr(masks)
        clean = masks_of(model, copies(digits, [i for i in range(50) if i not in (23, 31)]), reduce="mean")
        np.testing.assert_allclose(masks["mean"], clean["mean"], rtol=1e-6, atol=1e-8)

    def test_one_that_the_model_cannot_bear_is_found_in_its_batch(self):
        torch.manual_seed(0)
        x = torch.rand(40, 1, 28, 28)
        x[29, 0, 0, 0] = -2
        data = TensorDataset(x, torch.zeros(40, dtype=torch.long))
        fragile = Fragile().eval()
        with refused(NumericsError, "example 29 ", "layer 'sqrt'"):
            masks_of(fragile, data)
        for settings in ({}, {"only_correct": True}, {"target": "prediction"}):
            masks = masks_of(fragile, data, skip_nonfinite=True, reduce="mean", **settings)
            assert masks.skipped_examples == (29,)

    def test_nothing_left_is_no_answer(self, model):
        data = TensorDataset(torch.full((4, 1, 28, 28), torch.nan), torch.zeros(4, dtype=torch.long))
        with refused(NumericsError, "nothing is left", "all 4"):
            masks_of(model, data, skip_nonfinite=True)

    def test_an_overflowing_deviation_is_told(self, model, digits):
        big = model_in_double(model)
        last = list(big.modules())[-1]
        with torch.no_grad():
            last.weight *= 1e200
            last.bias *= 1e200
        with refused(NumericsError, "std of layer 'input'", "float64"):
            masks_of(big, digits, limit=3, reduce=("mean", "std"))


EXHAUSTED = {
    "GPU": torch.OutOfMemoryError("CUDA out of memory"),
    "engine": errors.OutOfMemoryError("a batch of 11 does not fit the memory of cpu"),
    "CPU": RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"),
    "Python": MemoryError(),
}


def full_beyond(monkeypatch, most, error):
    """Memory cannot be filled here without harm, so a session says for itself that it is full."""
    from lrp_explorer.analyses import job

    whole = job.Session

    class Full(whole):
        def relevance(self, *given, **named):
            if len(self.logits) > most:
                raise error
            return super().relevance(*given, **named)

    monkeypatch.setattr(job, "Session", Full)


@pytest.mark.parametrize("place", EXHAUSTED)
def test_a_batch_too_large_for_the_memory_is_halved(model, digits, monkeypatch, place):
    expected = masks_of(model, digits, limit=4, reduce="mean")
    full_beyond(monkeypatch, 10, EXHAUSTED[place])
    masks = masks_of(model, digits, limit=4, reduce="mean")
    assert [note for note in masks.notes if "halved" in note] == [
        f"a batch of {n} did not fit into memory and was halved" for n in (40, 20)
    ]
    assert masks.counts == expected.counts
    np.testing.assert_allclose(masks["mean"], expected["mean"], rtol=1e-6, atol=1e-8)


def test_an_example_too_large_for_the_memory_is_told(model, digits, monkeypatch):
    full_beyond(monkeypatch, 0, EXHAUSTED["GPU"])
    with refused(errors.OutOfMemoryError, "single example does not fit the memory"):
        masks_of(model, digits, limit=1)


def test_both_doors_take_the_same_settings():
    """`aggregate` spells out the parameters of `prepare`, so that an editor shows them; none may drift away."""
    one, two = (inspect.signature(door).parameters for door in (aggregate, prepare))
    shared = {name: parameter for name, parameter in one.items() if name not in ("progress", "on_update")}
    assert list(shared.values()) == list(two.values())


def test_half_precision_is_folded_as_the_numbers_that_it_holds(model, digits):
    half = copy.deepcopy(model).bfloat16()
    x = torch.stack([digits[i][0] for i in range(6)]).bfloat16()
    labels = torch.zeros(6, dtype=torch.long)
    relevance = lrp.explain(half, x, target=labels, device="cpu").input
    assert relevance.dtype == torch.bfloat16
    masks = masks_of(half, TensorDataset(x, labels), classes=0, reduce=("min", "max", "mean", "count", "quantile(1)"))
    wide = relevance.float().numpy()
    np.testing.assert_array_equal(masks["min"][0], wide.min(0))
    np.testing.assert_array_equal(masks["quantile(1)"][0], wide.max(0))
    np.testing.assert_array_equal(masks["count"][0], (wide > 0).sum(0))
    np.testing.assert_allclose(masks["mean"][0], wide.astype(float).mean(0), rtol=1e-12)


def test_the_model_is_as_before(model, digits):
    before = {name: value.clone() for name, value in model.state_dict().items()}
    masks_of(model, digits, limit=2)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert dataclasses.is_dataclass(masks_of(model, digits, limit=1))


class TestRealDigits:
    """Masks of MNIST: five and a hundred examples of each class, and all classes together."""

    @pytest.fixture(scope="class")
    def cnn(self):
        return lrp.load_model("mnist-cnn")

    def test_more_examples_shrink_and_and_grow_or(self, cnn, mnist):
        few, many = (masks_of(cnn, mnist, limit=n, reduce=("and", "or", "mean"), theta=0.002) for n in (5, 100))
        assert few.counts == (*[5] * 10, 50)
        assert many.counts == (*[100] * 10, 1000)
        assert not (many["and"] & ~few["and"]).any()
        assert not (few["or"] & ~many["or"]).any()
        assert (many["and"].sum((1, 2, 3)) < few["and"].sum((1, 2, 3))).all()
        assert not (many["and"] & ~many["or"]).any()
        # The row of all is the meeting and the joining of the classes' rows.
        np.testing.assert_array_equal(many["and"][10], many["and"][:10].all(0))
        np.testing.assert_array_equal(many["or"][10], many["or"][:10].any(0))

    def test_what_a_class_relies_on_looks_like_it(self, cnn, mnist):
        """A class's mean relevance is more like the mean image of its own than like that of most other classes."""
        masks = masks_of(cnn, mnist, limit=100, reduce="mean", composite="epsilon-plus")
        images = np.stack([
            np.mean([mnist[i][0].numpy() for i in np.flatnonzero(np.array(mnist.labels) == one)[:100]], axis=0)
            for one in range(10)
        ])  # fmt: skip
        relevance = masks["mean"][:10].reshape(10, -1)
        correlation = np.corrcoef(relevance, images.reshape(10, -1))[:10, 10:]
        assert (correlation.argmax(1) == np.arange(10)).sum() >= 8
        assert (np.diag(correlation) > 0.5).all()
