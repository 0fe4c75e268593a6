"""Data sets by name: what an example is, what is shown, and what is said when one is missing."""

import pickle

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader

from lrp_explorer import zoo
from lrp_explorer.errors import DataError, InputError, UnknownNameError
from lrp_explorer.zoo import digits
from lrp_explorer.zoo.examples import Pixels
from lrp_explorer.zoo.preprocessing import Unit


def test_the_names_are_those_promised_and_the_first_needs_no_network():
    assert zoo.datasets() == [
        *("digits", "mnist", "fashion-mnist", "kmnist", "cifar10"),
        *("two-digits", "two-digits-mnist", "photographs"),
    ]


def test_an_example_is_a_float_tensor_and_a_label():
    data = zoo.load_dataset("digits")
    example, label = data[4]
    assert (example.shape, example.dtype) == ((1, 28, 28), torch.float32)
    assert label == data.labels[4]
    assert isinstance(label, int)
    np.testing.assert_array_equal(data.image(4), digits.load("test")[0][4])
    assert (data.name, data.classes, len(data)) == ("digits", tuple("0123456789"), 539)
    assert data.caption(4) == f"4: {label}"


def test_it_is_a_torch_data_set():
    data = zoo.load_dataset("digits")
    examples, labels = next(iter(DataLoader(data, batch_size=32)))
    assert (examples.shape, labels.shape) == ((32, 1, 28, 28), (32,))
    assert sum(1 for _ in data) == len(data)
    assert torch.equal(data[-1][0], data[len(data) - 1][0])
    with pytest.raises(IndexError):
        data[len(data)]


def assert_read_together(data: zoo.ImageDataset, indices: list[int]) -> None:
    """Several examples at once are to the bit what they are one after the other."""
    together, alone = data.__getitems__(indices), [data[index] for index in indices]
    assert [label for _, label in together] == [label for _, label in alone]
    for (one, _), (other, _) in zip(together, alone, strict=True):
        assert (one.dtype, one.shape) == (other.dtype, other.shape)
        assert torch.equal(one, other)
    whole = data.stacked(indices)
    assert whole is None or torch.equal(whole, torch.stack([one for one, _ in alone]))


@pytest.mark.parametrize("name", ["digits", "two-digits"])
@pytest.mark.parametrize("card", [None, "digits-cnn", "two-digits-mlp", "squeezenet1_0"])
def test_several_examples_at_once_are_those_one_by_one(name, card):
    data = zoo.load_dataset(name, card=card and zoo.model_card(card))
    few = card == "squeezenet1_0"
    assert_read_together(data, [3, 0, 538, -1, 3] if few else [*range(0, 539, 7), -1, 3, 3])
    with pytest.raises(IndexError):
        data.__getitems__([0, 539])


def test_every_brightness_is_read_alike():
    values = np.arange(256, dtype=np.uint8).reshape(1, 16, 16).repeat(3, axis=0)
    colour = np.random.default_rng(0).integers(0, 256, (5, 12, 10, 3), np.uint8)
    for pixels, unit in ((values, Unit(16, 16)), (colour, Unit(12, 10, 3)), (colour, Unit(12, 10)), (values, Unit())):
        data = zoo.ImageDataset("own", Pixels(pixels, (0,) * len(pixels), ("a",)), unit, unit.to_image)
        assert_read_together(data, list(range(len(pixels))))


def test_pictures_in_memory_are_really_read_together():
    class Counted(Unit):
        def batch(self, pictures):
            shapes.append(pictures.shape)
            return super().batch(pictures)

    shapes: list[tuple[int, ...]] = []
    data = zoo.load_dataset("digits")
    data = zoo.ImageDataset("digits", data.examples, Counted(), Unit().to_image)
    next(iter(DataLoader(data, batch_size=32)))
    assert shapes == [(32, 28, 28)]


def test_whoever_reads_one_example_in_another_way_reads_several_so_too():
    class Inverted(zoo.ImageDataset):
        def __getitem__(self, index):
            example, label = super().__getitem__(index)
            return 1 - example, label

    class Halved(Unit):
        def __call__(self, image):
            return super().__call__(image) / 2

    class Several(zoo.ImageDataset):
        def __getitems__(self, indices):
            return [(example / 2, label) for example, label in super().__getitems__(indices)]

    examples = zoo.load_dataset("digits").examples
    assert Several("own", examples, Unit(), Unit().to_image).stacked([0, 5]) is None
    assert_read_together(Inverted("own", examples, Unit(), Unit().to_image), [0, 5, 9])
    assert_read_together(zoo.ImageDataset("own", examples, Halved(), Unit().to_image), [0, 5, 9])


def test_it_can_be_sent_to_another_process():
    data = pickle.loads(pickle.dumps(zoo.load_dataset("photographs", card=zoo.model_card("squeezenet1_0"))))
    assert data[0][0].shape == (3, 224, 224)


def test_train_and_test_differ():
    assert len(zoo.load_dataset("digits", "train")) == 1258


def test_any_data_set_can_be_read_by_any_model():
    data = zoo.load_dataset("digits", card=zoo.model_card("squeezenet1_0"))
    assert data[0][0].shape == (3, 224, 224)
    assert data.image(0).shape == (224, 224, 3)
    assert zoo.load_dataset("photographs", card=zoo.model_card("digits-cnn"))[0][0].shape == (1, 28, 28)


def test_the_photographs_are_unlabelled():
    data = zoo.load_dataset("photographs")
    assert data.labels == [zoo.UNLABELLED, zoo.UNLABELLED] == [-1, -1]
    assert data.classes == ()
    assert [data.caption(index) for index in range(2)] == ["china.jpg", "flower.jpg"]
    assert data.image(0).shape == (224, 224, 3)


def test_photographs_without_a_card_are_prepared_as_most_models_want_them():
    plain, carded = (zoo.load_dataset("photographs", card=card) for card in (None, zoo.model_card("vgg16")))
    assert torch.equal(plain[1][0], carded[1][0])


def test_an_unknown_name_is_answered_with_the_nearest_and_with_folders():
    with pytest.raises(UnknownNameError, match=r"unknown data set 'minst'\. Did you mean 'mnist'.*folder:PATH"):
        zoo.load_dataset("minst")
    with pytest.raises(UnknownNameError, match=r"unknown split 'tset'\. Did you mean 'test'"):
        zoo.load_dataset("digits", "tset")


def test_a_split_that_a_data_set_does_not_have_is_named(tmp_path):
    Image.new("L", (28, 28)).save(tmp_path / "a.png")
    for name in ("photographs", f"folder:{tmp_path}"):
        with pytest.raises(DataError, match=r"has no 'train' split; expected 'test'"):
            zoo.load_dataset(name, "train")


def test_a_card_must_be_a_card():
    with pytest.raises(InputError, match=r"card is a str; expected a ModelCard, such as model.card"):
        zoo.load_dataset("digits", card="digits-mlp")
