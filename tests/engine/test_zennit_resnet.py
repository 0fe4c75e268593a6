"""The five named composites against zennit, in float64, on the ResNets of torchvision at their published size."""

from dataclasses import replace
from functools import cache

import pytest
import torch
from oracles.by_zennit import COMPOSITES, awake, by_zennit, image
from torchvision import models

import lrp_explorer as lrp

TOLERANCE = 1e-10
# Basic blocks, bottlenecks, and bottlenecks of grouped convolutions.
MODELS = ("resnet18", "resnet50", "resnext50_32x4d")
BETWEEN = "layer2"


@cache
def recorded(name):
    with torch.device("meta"):
        model = models.get_model(name, weights=None, num_classes=10)
    model, x = awake(model), image(32)
    return model, x, lrp.Session(model, x, device="cpu")


@pytest.mark.parametrize("composite", COMPOSITES)
@pytest.mark.parametrize("name", MODELS)
def test_both_splits_are_that_of_zennit(name, composite):
    """Its ResNetCanonizer shares sums by signed values; so does "auto", for only ReLUs read the sums of a ResNet."""
    model, x, session = recorded(name)
    target = session.logits.argmax(1)
    expected = by_zennit(model, x, target, composite, BETWEEN)
    for split in ("signed", "auto"):
        relevance = session.relevance(target=target, composite=replace(COMPOSITES[composite][0], split=split))
        for found, wanted in zip([relevance.input, relevance[BETWEEN]], expected, strict=True):
            assert wanted.abs().amax(tuple(range(1, wanted.dim()))).min() > 0
            assert (found - wanted).abs().max() <= TOLERANCE * wanted.abs().max(), split


@pytest.mark.parametrize("name", MODELS)
def test_the_split_by_magnitude_is_another(name):
    """So the equality above is one of the split, too."""
    _, _, session = recorded(name)
    signed, magnitude = (
        session.relevance(target=0, composite=lrp.composites.EpsilonPlus(split=split)).input
        for split in ("signed", "magnitude")
    )
    assert (signed - magnitude).abs().max() > 0.01 * signed.abs().max()
