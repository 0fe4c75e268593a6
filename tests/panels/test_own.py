import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import IterableDataset, TensorDataset

from lrp_explorer.errors import DataError
from lrp_explorer.panels.catalogue import Catalogue
from lrp_explorer.panels.own import OwnData, Source, stretched

BATCH = torch.arange(24, dtype=torch.float32).reshape(2, 1, 3, 4)


@pytest.mark.parametrize(
    "data",
    [
        (BATCH, torch.tensor([7, 8])),
        TensorDataset(BATCH, torch.tensor([7, 8])),
        [(BATCH[0], 7), (BATCH[1], np.int64(8))],
        [(BATCH[0], torch.tensor([7])), (BATCH[1], torch.tensor(8))],
    ],
)
def test_examples_with_labels(data):
    own = OwnData(data)
    assert len(own) == 2
    tensor, label = own[1]
    assert torch.equal(tensor, BATCH[1])
    assert label == 8


@pytest.mark.parametrize("data", [BATCH, [BATCH[0], BATCH[1]], TensorDataset(BATCH)])
def test_examples_without_labels(data):
    tensor, label = OwnData(data)[0]
    assert torch.equal(tensor, BATCH[0])
    assert label is None


@pytest.mark.parametrize("label", ["a word", torch.tensor([0.0, 1.0]), 1.5])
def test_labels_that_are_no_classes_are_refused_by_index(label):
    with pytest.raises(DataError, match="example 0 has the label"):
        OwnData([(BATCH[0], label)])[0]


def test_it_is_what_panels_ask_for():
    assert isinstance(OwnData(BATCH), Source)


def test_class_names_are_taken_over():
    data = TensorDataset(BATCH)
    data.classes = ["cat", "dog"]
    assert OwnData(data).classes == ("cat", "dog")


def test_the_picture_is_the_example_stretched_or_the_data_sets_own():
    assert OwnData(BATCH).image(0).tolist() == [[[0], [23], [46], [70]], [[93], [116], [139], [162]], [[185], [209], [232], [255]]]  # fmt: skip  # noqa: E501

    class WithPictures(list):
        def image(self, index):
            return np.full((3, 4), index, dtype=np.uint8)

    assert OwnData(WithPictures([BATCH[0], BATCH[1]])).image(1).tolist() == [[1] * 4] * 3


def test_a_constant_example_is_black_and_many_channels_are_averaged():
    assert stretched(np.full((3, 2, 2), 5.0)).tolist() == [[[0] * 3] * 2] * 2
    channels = np.stack([np.array([[0.0, 1.0]]) * k for k in range(4)])
    assert stretched(channels).tolist() == [[0, 255]]


class Endless(IterableDataset):
    def __iter__(self):
        return iter([BATCH[0]])


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (BATCH[:0], "the data is empty"),
        ([], "the data is empty"),
        (Endless(), "Endless; expected a data set with a length"),
        (torch.zeros(3), r"shape \(3,\) was given; expected \(batch, ...\)"),
        ((BATCH, torch.tensor([1])), "2 examples and 1 labels"),
        (7, "int; expected a data set"),
    ],
)
def test_what_is_no_data_is_refused_with_what_to_do(data, message):
    with pytest.raises(DataError, match=message):
        OwnData(data)


def test_an_item_that_is_no_example_is_refused_by_name():
    with pytest.raises(DataError, match=r"example 0 of the data set is a str; expected a tensor, an array or a PIL"):
        OwnData(["a.png"])[0]


def test_pictures_are_preprocessed_by_the_card_and_shown_as_the_model_sees_them():
    picture = (np.arange(784) % 256).astype(np.uint8).reshape(28, 28)
    catalogue = Catalogue("digits-cnn", [Image.fromarray(picture)])
    data = catalogue.open_data(OwnData.name, "digits-cnn")
    assert data is catalogue.open_data(OwnData.name, "digits-cnn")
    np.testing.assert_array_equal(data.image(0), picture)
    np.testing.assert_allclose(data[0][0].numpy()[0] * 255, data.image(0), atol=1e-4)


def test_arrays_are_read_in_the_dtype_of_the_users_model():
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(12, 2)).double()
    data = Catalogue(model, BATCH.double().numpy()).open_data(OwnData.name, "Sequential (yours)")
    assert torch.equal(data[1][0], BATCH[1].double())
