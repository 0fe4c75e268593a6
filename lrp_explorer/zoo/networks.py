"""Our own two small networks: ReLU throughout, pictures `(batch, 1, height, 28)` in [0, 1] in, ten logits out.

Both are plain `nn.Sequential` with named layers, so they can be sliced and read aloud.
"""

from __future__ import annotations

from collections import OrderedDict

from torch import nn


def digit_mlp(height: int = 28, hidden: int = 300) -> nn.Sequential:
    """Build a dense network with two hidden layers, 784-300-100-10, freshly initialised.

    Parameters
    ----------
    height : int
        Of the pictures, in pixels; their width is 28.
    hidden : int
        Neurons of the first hidden layer.
    """
    layers = OrderedDict[str, nn.Module](
        flatten=nn.Flatten(),
        dense1=nn.Linear(height * 28, hidden),
        relu1=nn.ReLU(),
        dense2=nn.Linear(hidden, 100),
        relu2=nn.ReLU(),
        output=nn.Linear(100, 10),
    )
    return nn.Sequential(layers)


def digit_cnn(height: int = 28) -> nn.Sequential:
    """Build a network of two convolutions with max pooling and two dense layers, freshly initialised.

    Parameters
    ----------
    height : int
        Of the pictures, in pixels; their width is 28.

    Source: LeCun, Bottou, Bengio and Haffner, "Gradient-based learning applied to document recognition" (LeNet-5),
    1998; here with ReLU, max pooling and one dense layer fewer.
    """
    rows = ((height - 4) // 2 - 4) // 2
    layers = OrderedDict[str, nn.Module](
        conv1=nn.Conv2d(1, 16, kernel_size=5),  # a side of 28 → 24
        relu1=nn.ReLU(),
        pool1=nn.MaxPool2d(2),  # → 12
        conv2=nn.Conv2d(16, 32, kernel_size=5),  # → 8
        relu2=nn.ReLU(),
        pool2=nn.MaxPool2d(2),  # → 4
        flatten=nn.Flatten(),
        dense1=nn.Linear(32 * rows * 4, 120),
        relu3=nn.ReLU(),
        output=nn.Linear(120, 10),
    )
    return nn.Sequential(layers)
