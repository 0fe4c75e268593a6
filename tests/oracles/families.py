"""Every family of torchvision's classifiers as published, at a small resolution and with weights that all count."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torchvision import models
from torchvision.models.maxvit import MaxVit

CLASSES = 7
# Name → edge of the input. LRP-0 of piecewise linear networks equals input × gradient.
PIECEWISE_LINEAR = {
    "alexnet": 64, "vgg11": 32, "vgg11_bn": 32, "resnet18": 32, "resnet50": 32, "resnext50_32x4d": 32,
    "wide_resnet50_2": 32, "densenet121": 32, "googlenet": 48, "inception_v3": 80, "squeezenet1_1": 48,
    "shufflenet_v2_x0_5": 32, "mnasnet0_5": 32, "regnet_x_400mf": 32,
}  # fmt: skip
OTHERS = {
    "mobilenet_v2": 32, "mobilenet_v3_small": 32, "regnet_y_400mf": 32, "efficientnet_b0": 32,
    "efficientnet_v2_s": 32, "convnext_tiny": 32, "vit_b_32": 64, "swin_t": 32, "swin_v2_t": 32, "maxvit_t": 64,
}  # fmt: skip


def published(name: str) -> tuple[nn.Module, Tensor]:
    """Build the network called `name`, and two images for it; MaxViT alone is narrower than published."""
    edge = (PIECEWISE_LINEAR | OTHERS)[name]
    # Some modules draw weights of their own, position biases for one.
    torch.manual_seed(0)
    if name == "maxvit_t":
        model = MaxVit((edge, edge), 16, 4, [16, 32], [1, 1], 8, 0.2, num_classes=CLASSES)
    else:
        options = {"image_size": edge} if name.startswith("vit") else {}
        options |= {"init_weights": False} if name in ("googlenet", "inception_v3") else {}
        model = models.get_model(name, weights=None, num_classes=CLASSES, **options)
    # With factors up to 1.5, EfficientNet v2 is so ill-conditioned that one ulp of x moves its logits by 3e-8.
    return awake(model, 1.0 if name == "efficientnet_v2_s" else 1.5), image(edge)


def awake(model: nn.Module, largest: float = 1.5) -> nn.Module:
    """Fill in weights under which every part says something: He weights, batch norms with statistics of their own.

    `largest` is the largest factor of a batch norm; the smallest is 0.5.
    """
    source = torch.Generator().manual_seed(0)
    for module in model.modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            nn.init.kaiming_normal_(module.weight, generator=source)
            if module.bias is not None:
                nn.init.normal_(module.bias, std=0.05, generator=source)
        elif isinstance(module, nn.modules.batchnorm._BatchNorm):
            assert module.running_mean is not None
            assert module.running_var is not None
            module.running_mean.normal_(0, 0.1, generator=source)
            module.running_var.uniform_(0.5, 1.5, generator=source)
            nn.init.uniform_(module.weight, 0.5, largest, generator=source)
            nn.init.normal_(module.bias, std=0.1, generator=source)
    for name, parameter in model.named_parameters():
        if name.endswith(("class_token", "cls_token")):
            # TorchVision's starts at zero, and a zero can absorb nothing.
            nn.init.normal_(parameter, std=0.5, generator=source)
    return model.double().eval().requires_grad_(False)


def image(edge: int) -> torch.Tensor:
    """Draw normalised pixels for two examples ``(2, 3, edge, edge)``."""
    source = torch.Generator().manual_seed(1)
    return torch.randn(2, 3, edge, edge, dtype=torch.float64, generator=source).clamp(-1.8, 2.2)
