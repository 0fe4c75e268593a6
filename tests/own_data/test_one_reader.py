"""Data in every form in which people have it: `explain`, `explore` and `aggregate` read the same of it."""

import pickle

import numpy as np
import pytest
import torch
from PIL import Image
from refusals import refused
from torch import nn
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    Dataset,
    IterableDataset,
    RandomSampler,
    SequentialSampler,
    Subset,
    SubsetRandomSampler,
    TensorDataset,
    WeightedRandomSampler,
)

import lrp_explorer as lrp
from lrp_explorer.analyses.sources import DataSource, batch_of, class_names, labels, quick
from lrp_explorer.errors import DataError, InputError
from lrp_explorer.own_data import UNLABELLED, Given, batch
from lrp_explorer.panels.own import OwnData

COUNT = 6
X = torch.rand(COUNT, 1, 4, 4, generator=torch.Generator().manual_seed(1))
Y = torch.tensor([2, 0, 1, 1, 2, 0])


class Items(Dataset):
    """Examples and labels in whatever form."""

    def __init__(self, examples, by_index, **attributes):
        self.examples, self.by_index = examples, by_index
        vars(self).update(attributes)

    def __len__(self):
        return len(self.examples)

    def __getitem__(self, index):
        return self.examples[index], self.by_index[index]


@pytest.fixture(scope="module")
def model() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(16, 5), nn.ReLU(), nn.Linear(5, 3)).eval()


def seen(data, model):
    """What each of the three makes of the data: examples and labels of `explore` and `aggregate`, x of `explain`."""
    shown = OwnData(data)
    source = DataSource.of(data, "").load(model)
    return (
        torch.stack([shown[i][0] for i in range(len(shown))]),
        batch_of(source, range(len(source)), None),
        batch(data, model),
        [shown[i][1] for i in range(len(shown))],
        labels(source, lambda: None),
    )


LABELLED = {
    "pair of tensors": (X, Y),
    "pair with array": (X, Y.numpy()),
    "pair with list": (X, Y.tolist()),
    "pair with column": (X, Y[:, None]),
    "list as a loader gives it": [X, Y],
    "pair of arrays": (X.numpy(), Y.numpy()),
    "pair of lists": (list(X), Y.tolist()),
    "TensorDataset": TensorDataset(X, Y),
    "loader": DataLoader(TensorDataset(X, Y), batch_size=4),
    "loader that shuffles": DataLoader(TensorDataset(X, Y), batch_size=4, shuffle=True, drop_last=True),
    "loader without batches": DataLoader(TensorDataset(X, Y), batch_size=None),
    "items": [(x, int(y)) for x, y in zip(X, Y, strict=True)],
    "labels in arrays": Items(X, Y.numpy().reshape(-1, 1)),
    "labels in bytes": Items(X, Y.numpy().astype(np.uint8).reshape(-1, 1)),
    "labels as floats": Items(X.numpy(), Y.numpy().astype(float)),
    "labels listed in a column": Items(X, Y, labels=Y.numpy().reshape(-1, 1)),
    "labels listed as targets": Items(X, Y, targets=Y.tolist()),
    "more than a label": [(x, y, "file.png") for x, y in zip(X, Y, strict=True)],
}


@pytest.mark.parametrize("form", LABELLED)
def test_examples_and_labels_are_the_same_for_all(model, form):
    shown, folded, explained, *both = seen(LABELLED[form], model)
    for x in (shown, folded, explained):
        assert x.dtype == torch.float32
        assert torch.equal(x, X)
    assert both == [Y.tolist(), Y.tolist()]


@pytest.mark.parametrize("data", [X, X.numpy(), X.double().numpy(), list(X), TensorDataset(X), list(X.numpy())])
def test_examples_without_labels(model, data):
    assert torch.equal(batch(data, model), X)
    assert [OwnData(data)[i][1] for i in range(COUNT)] == [None] * COUNT
    with refused(DataError, "example 0 of the data set is a Tensor without a label", "target='prediction'"):
        lrp.aggregate(model, data, progress=False, device="cpu")
    predicted = lrp.aggregate(model, data, target="prediction", reduce="mean", progress=False, device="cpu")
    assert predicted.counts[-1] == COUNT


def test_the_three_doors_open_to_all_of_it(model):
    expected = lrp.explain(model, X, composite="epsilon-plus", device="cpu")
    masks = lrp.aggregate(model, (X, Y), reduce="mean", progress=False, device="cpu")
    for form in ("pair of arrays", "loader that shuffles", "list as a loader gives it"):
        data = LABELLED[form]
        assert torch.equal(lrp.explain(model, data, composite="epsilon-plus", device="cpu").input, expected.input)
        found = lrp.aggregate(model, data, reduce="mean", progress=False, device="cpu")
        np.testing.assert_array_equal(found["mean"], masks["mean"])
    assert torch.equal(lrp.Session(model, X.numpy(), device="cpu").logits, lrp.Session(model, X, device="cpu").logits)


def test_what_an_array_held_is_kept(model):
    array = X.numpy().copy()
    x = batch(array, model)
    array[:] = 0
    assert torch.equal(x, X)


# Loaders


@pytest.mark.parametrize("sampler", [SubsetRandomSampler([4, 1, 2]), SubsetRandomSampler(torch.tensor([1, 2, 4]))])
def test_the_subset_of_a_loader_is_kept_in_the_order_of_the_data(model, sampler):
    shown, folded, explained, *both = seen(DataLoader(TensorDataset(X, Y), sampler=sampler), model)
    for x in (shown, folded, explained):
        assert torch.equal(x, X[[1, 2, 4]])
    assert both == [[0, 1, 2]] * 2


def test_given_batches_are_walked_by_their_sampler(model):
    data = TensorDataset(X, Y)
    subset = DataLoader(data, batch_sampler=BatchSampler(SubsetRandomSampler([4, 1, 2]), 2, False))
    assert torch.equal(seen(subset, model)[1], X[[1, 2, 4]])
    shuffled = DataLoader(data, batch_sampler=BatchSampler(RandomSampler(data), 2, False))
    assert torch.equal(seen(shuffled, model)[1], X)


def test_a_loaders_own_collating_is_applied_to_every_example(model):
    def brighter(items):
        return torch.stack([x for x, _ in items]) + 1, torch.stack([y for _, y in items])

    loader = DataLoader(TensorDataset(X, Y), batch_size=4, collate_fn=brighter)
    shown, folded, explained, *both = seen(loader, model)
    for x in (shown, folded, explained):
        assert torch.equal(x, X + 1)
    assert both == [Y.tolist()] * 2


@pytest.mark.parametrize(
    "options",
    [
        {"sampler": WeightedRandomSampler([1.0] * COUNT, 3)},
        {"sampler": RandomSampler(TensorDataset(X), replacement=True, num_samples=4)},
        {"sampler": RandomSampler(TensorDataset(X), num_samples=2)},
        {"sampler": SequentialSampler(range(3))},
        {"sampler": RandomSampler(range(3))},
        {"batch_sampler": [[0, 1], [5]]},
    ],
)
def test_a_loader_that_draws_in_its_own_way_is_told_what_to_give(options):
    kind = type(next(iter(options.values()))).__name__
    with refused(DataError, f"draws its examples by {kind}", "Give loader.dataset", "Subset"):
        Given(DataLoader(TensorDataset(X), **options))


@pytest.mark.parametrize(
    "sampler",
    [WeightedRandomSampler([1.0] * COUNT, COUNT), RandomSampler(range(COUNT), num_samples=2), SequentialSampler("abc")],
)
def test_so_is_one_that_was_given_its_batches(sampler):
    with refused(DataError, f"draws its examples by {type(sampler).__name__}", "Give loader.dataset", "Subset"):
        Given(DataLoader(TensorDataset(X), batch_sampler=BatchSampler(sampler, 2, False)))


def test_sequential_samplers_are_all_of_it():
    data = TensorDataset(X)
    assert len(Given(DataLoader(data, sampler=SequentialSampler(data)))) == COUNT


class Stream(IterableDataset):
    def __iter__(self):
        return iter(X)


def test_streams_are_refused_alone_and_in_a_loader(model):
    for data, name in ((Stream(), "Stream"), (DataLoader(Stream()), "DataLoader of Stream")):
        for door in (Given, lambda one: DataSource.of(one, ""), lambda one: lrp.explain(model, one)):
            with refused((DataError, InputError), f"the data is a {name}", "Collect", "into a list first"):
                door(data)


# Data sets as MedMNIST makes them


class Medical(Dataset):
    """Pictures in bytes, labels in a column of bytes, class names under `info`."""

    info = {"label": {"1": "benign", "0": "malignant", "2": "normal"}, "task": "multi-class"}  # noqa: RUF012

    def __init__(self, transform=None, channels=()):
        draw = np.random.default_rng(0)
        self.imgs = draw.integers(0, 256, (COUNT, 28, 28, *channels), dtype=np.uint8)
        self.labels = Y.numpy().astype(np.uint8).reshape(-1, 1)
        self.transform = transform

    def __len__(self):
        return len(self.imgs)

    def __getitem__(self, index):
        picture, label = Image.fromarray(self.imgs[index]), self.labels[index].astype(int)
        return (picture if self.transform is None else self.transform(picture)), label


@pytest.mark.parametrize("channels", [(), (3,)])
def test_medical_pictures_as_they_come_for_a_model_with_a_card(channels):
    model = lrp.load_model("digits-cnn")
    data = Medical(channels=channels)
    shown = OwnData(data).fitted(model.card, None)
    expected = [model.card.preprocess(Image.fromarray(picture)) for picture in data.imgs]
    assert all(torch.equal(shown[i][0], expected[i]) for i in range(COUNT))
    assert torch.equal(batch(data, model), torch.stack(expected))
    assert [shown[i][1] for i in range(COUNT)] == Y.tolist()
    assert shown.classes == ("malignant", "benign", "normal")
    masks = lrp.aggregate(model, data, reduce="mean", progress=False, device="cpu")
    assert (masks.classes, masks.names[:3], masks.counts) == ((0, 1, 2, "all"), shown.classes, (2, 2, 2, 6))


def test_medical_pictures_with_a_transform_for_any_model():
    data = Medical(lambda picture: torch.from_numpy(np.array(picture, np.float32))[None, ::7, ::7] / 255)
    torch.manual_seed(0)
    small = nn.Sequential(nn.Flatten(), nn.Linear(16, 3)).eval()
    assert lrp.explain(small, data, device="cpu").input.shape == (COUNT, 1, 4, 4)
    assert lrp.aggregate(small, data, reduce="mean", progress=False, device="cpu").counts == (2, 2, 2, 6)


def test_arrays_of_bytes_are_pictures_for_a_model_with_a_card():
    model = lrp.load_model("digits-cnn")
    data = Medical()
    assert torch.equal(batch(data.imgs, model), batch(data, model))
    assert torch.equal(batch((data.imgs, data.labels), model), batch(data, model))
    assert labels((data.imgs, data.labels), lambda: None) == Y.tolist()


def test_pictures_without_preprocessing_are_refused_by_name(model):
    for data, what in (
        (Medical(), "a PIL picture (mode L, 28 × 28 pixels), and the model has no card"),
        ([Image.new("RGB", (5, 4))], "a PIL picture (mode RGB, 5 × 4 pixels)"),
        (Medical().imgs, "an array of uint8 (28, 28); expected floating-point numbers"),
        ((X * 255).to(torch.uint8), "uint8"),
        (list((X * 255).to(torch.uint8)), "a tensor of torch.uint8 (1, 4, 4)"),
    ):
        with refused(InputError, what.replace("(", r"\(").replace(")", r"\)")):
            lrp.explain(model, data, device="cpu")


def test_subsets_know_the_names_and_labels_of_the_whole():
    subset = Subset(Medical(), [5, 0])
    assert class_names(subset) == ("malignant", "benign", "normal")
    given = Given(subset).fitted(lrp.load_model("digits-cnn").card, None)
    assert labels(given, lambda: None) == [0, 2]


# Labels


@pytest.mark.parametrize(
    ("label", "words"),
    [
        (1.5, ["expected a class index, or -1"]),
        (np.array([0, 1, 0]), ["Of 3 labels one has to be chosen", "argmax"]),
        (torch.zeros(14), ["Of 14 labels"]),
        ("1", ["label '1'"]),
        (None, ["label None"]),
        (-2, ["label -2"]),
        (float("nan"), ["label nan"]),
        (2**63, ["expected a class index"]),
    ],
)
def test_labels_that_are_no_classes_are_refused_by_index_at_every_door(label, words):
    data = [(X[0], 0), (X[1], label)]
    for door in (lambda: OwnData(data)[1], lambda: labels(data, lambda: None), lambda: batch(data, nn.Flatten())):
        with refused((DataError, InputError), "example 1 has the label", *words):
            door()


@pytest.mark.parametrize("labels_of", [list, torch.tensor, np.array])
def test_labels_beyond_the_names_of_the_classes_are_refused_by_index(labels_of):
    data = Items(X, labels_of([0, 1, 2, 3, 0, 0]), classes=["a", "b", "c"])
    listing = Items(X, data.by_index, classes=data.classes, targets=data.by_index)
    for door in (lambda: OwnData(data)[3], lambda: labels(data, lambda: None), lambda: labels(listing, lambda: None)):
        with refused(DataError, "example 3 has the label 3", "names 3 classes; expected 0 to 2"):
            door()


def test_listed_labels_are_not_believed_where_reading_changes_them():
    class Shifted(Items):
        def target_transform(self, label):
            return (label + 1) % 3

        def __getitem__(self, index):
            return self.examples[index], self.target_transform(self.by_index[index])

    assert labels(Shifted(X, Y.tolist(), targets=Y.tolist()), lambda: None) == ((Y + 1) % 3).tolist()


def test_unlabelled_examples_stay_so():
    assert labels((X[:2], [UNLABELLED, 2]), lambda: None) == [-1, 2]


# What is no data


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({"image": X}, ["the data is a dict"]),
        (3, ["the data is a int"]),
        (torch.zeros(3), [r"a tensor of shape \(3,\)", r"x\[None\]"]),
        (np.zeros(3), [r"an array of shape \(3,\)", r"x\[None\]"]),
        ((X, Y[:4]), ["6 examples and 4 labels"]),
        ([], ["the data is empty"]),
        ([{"image": X[0]}], ["example 0 of the data set is a dict"]),
        ([X[0], X[1, :, :2]], [r"example 1 has shape \(1, 2, 4\), but example 0 has \(1, 4, 4\)"]),
        ([X[0].numpy().astype(complex)], ["example 0", "array of complex128"]),
    ],
)
def test_what_is_no_data_is_refused_by_name_at_every_door(model, data, words):
    if not isinstance(data, torch.Tensor):
        with refused(InputError, f"x is a {type(data).__name__}", *words):
            lrp.explain(model, data, device="cpu")
    with refused(DataError, *words):
        lrp.aggregate(model, data, target="prediction", progress=False, device="cpu")


def test_data_travels_to_workers():
    for form in ("loader that shuffles", "pair of arrays", "items"):
        sent = pickle.loads(pickle.dumps(DataSource.of(LABELLED[form], ""))).load(nn.Flatten())
        assert torch.equal(batch_of(sent, [3, 0], None), X[[3, 0]])


def test_one_tensor_is_taken_whole(model):
    source = DataSource.of((X, Y), "").load(model)
    assert quick(source)
    assert torch.equal(batch_of(source, [5, 0], torch.float64), X[[5, 0]].double())
    assert not quick(DataSource.of(list(X), "").load(model))
