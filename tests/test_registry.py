"""One registry for everything with a name."""

import pytest

from lrp_explorer.errors import LrpError, UnknownNameError
from lrp_explorer.registry import Registry


@pytest.fixture
def nets():
    found = Registry("model")
    for name in ("vgg16", "vgg19", "resnet18"):
        found.register(name, name.upper())
    return found


def test_what_is_registered_is_found_in_order(nets):
    assert nets.get("vgg19") == "VGG19"
    assert nets.names() == list(nets) == ["vgg16", "vgg19", "resnet18"]
    assert "vgg16" in nets
    assert len(nets) == 3


def test_a_name_is_given_once_only(nets):
    with pytest.raises(ValueError, match="model 'vgg16' is registered already"):
        nets.register("vgg16", "other")
    assert nets.get("vgg16") == "VGG16"


@pytest.mark.parametrize("name", ["VGG16", "vgg-16", "vg16"])
def test_an_unknown_name_is_answered_with_the_nearest(nets, name):
    words = rf"unknown model '{name}'\. Did you mean .*'vgg16'.*Known: vgg16, vgg19"
    with pytest.raises(UnknownNameError, match=words):
        nets.get(name)


@pytest.mark.parametrize("name", [None, 3, ["vgg16"]])
def test_something_that_is_no_name_is_an_unknown_name(nets, name):
    with pytest.raises(LrpError, match="unknown model"):
        nets.get(name)
