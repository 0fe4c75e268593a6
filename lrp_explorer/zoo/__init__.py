"""FLOOR 2: what is explained: models with their cards and weights, data sets, pictures.

``models()`` and ``datasets()`` list the names; neither TorchVision nor scikit-learn is imported before it is needed.
"""

from lrp_explorer.zoo.cards import ModelCard
from lrp_explorer.zoo.datasets import datasets, load_dataset
from lrp_explorer.zoo.examples import UNLABELLED, ImageDataset
from lrp_explorer.zoo.images import open_image
from lrp_explorer.zoo.models import load_model, model_card, models

__all__ = [
    "UNLABELLED",
    "ImageDataset",
    "ModelCard",
    "datasets",
    "load_dataset",
    "load_model",
    "model_card",
    "models",
    "open_image",
]
