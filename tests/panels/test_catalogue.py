import pytest
import torch
from torch import nn

from lrp_explorer import zoo
from lrp_explorer.errors import InputError, UnknownNameError
from lrp_explorer.panels.catalogue import FIRST_MODEL, Catalogue, Kept


class Net(nn.Sequential):
    pass


BATCH = torch.rand(3, 4)


def test_the_zoo_is_offered_and_begins_with_what_ships():
    catalogue = Catalogue()
    assert catalogue.models() == zoo.models()
    assert catalogue.first_model == FIRST_MODEL
    assert catalogue.datasets(FIRST_MODEL)[0] == "digits"


def test_a_model_of_the_zoo_by_name():
    assert Catalogue("digits-mlp").first_model == "digits-mlp"
    with pytest.raises(UnknownNameError, match="Did you mean 'digits-mlp'"):
        Catalogue("digit-mlp")


def test_ones_own_model_and_data_come_first():
    net = Net(nn.Linear(4, 2))
    catalogue = Catalogue(net, BATCH)
    assert catalogue.models()[0] == catalogue.first_model == "Net (yours)"
    assert catalogue.models()[1:] == zoo.models()
    assert catalogue.datasets("Net (yours)") == ["your data"]
    assert catalogue.card("Net (yours)") is None
    assert catalogue.open_model("Net (yours)") is net
    assert len(catalogue.open_data("your data", "Net (yours)")) == 3


def test_ones_own_data_is_offered_to_the_models_of_the_zoo_too():
    offered = Catalogue(data=BATCH).datasets("digits-mlp")
    assert offered[:2] == ["your data", "digits"]


def test_a_data_set_by_name_comes_first_and_once():
    assert Catalogue("digits-mlp", "mnist").datasets("digits-mlp")[0] == "mnist"
    assert Catalogue("digits-mlp", "digits").datasets("digits-mlp").count("digits") == 1


def test_ones_own_model_needs_data():
    with pytest.raises(InputError, match="a model of your own needs data"):
        Catalogue(Net(nn.Linear(4, 2)))


def test_a_model_loaded_from_the_zoo_brings_its_card_along():
    catalogue = Catalogue(zoo.load_model("digits-mlp"))
    assert catalogue.first_model == "digits-mlp (yours)"
    assert catalogue.datasets("digits-mlp (yours)") == list(zoo.model_card("digits-mlp").datasets)
    assert catalogue.open_data("digits", "digits-mlp (yours)").name == "digits"


def test_something_else_is_no_model():
    with pytest.raises(InputError, match=r"model is a type; expected a torch.nn.Module"):
        Catalogue(Net, BATCH)


def test_models_and_data_are_opened_once():
    catalogue = Catalogue()
    assert catalogue.open_model("digits-mlp") is catalogue.open_model("digits-mlp")
    first = catalogue.open_data("digits", "digits-mlp")
    assert catalogue.open_data("digits", "digits-mlp") is first


def test_what_was_used_longest_ago_is_dropped():
    kept, made = Kept(2), []

    def get(key):
        return kept.get(key, lambda: made.append(key) or key)

    for key in ("a", "b", "a", "c", "a", "b"):
        assert get(key) == key
    assert made == ["a", "b", "c", "b"]


def test_what_could_not_be_made_is_tried_again():
    kept = Kept(2)
    with pytest.raises(ZeroDivisionError):
        kept.get("a", lambda: 1 / 0)
    assert kept.get("a", lambda: 7) == 7
