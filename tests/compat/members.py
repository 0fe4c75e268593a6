"""Which models are tried: the smallest published one of every family, with random weights; nothing is downloaded."""

from __future__ import annotations

import inspect
from typing import Any

import torch
from torch import Tensor, nn

CLASSES = 7

# Family of timm → (model, edge of the input, options beside it).
TIMM: dict[str, tuple[str, int, dict[str, Any]]] = {
    "beit": ("beit_base_patch16_224", 64, {"img_size": 64, "depth": 2}),
    "byoanet": ("lambda_resnet26t", 64, {}),
    "byobnet": ("test_byobnet", 64, {}),
    "cait": ("cait_xxs24_224", 64, {"img_size": 64, "depth": 3}),
    "coat": ("coat_tiny", 64, {"img_size": 64}),
    "convit": ("convit_tiny", 64, {"img_size": 64}),
    "convmixer": ("convmixer_768_32", 64, {}),
    "convnext": ("test_convnext", 64, {}),
    "cpubone": ("cpubone_nano", 64, {}),
    "crossvit": ("crossvit_tiny_240", 240, {}),
    "csatv2": ("csatv2", 64, {}),
    "cspnet": ("cs3darknet_focus_s", 64, {}),
    "cspnext": ("cspnext_tiny", 64, {}),
    "davit": ("davit_tiny", 64, {}),
    "deit": ("deit_tiny_patch16_224", 64, {"img_size": 64}),
    "densenet": ("densenet121", 64, {}),
    "dla": ("dla46x_c", 64, {}),
    "dpn": ("dpn48b", 64, {}),
    "edgenext": ("edgenext_xx_small", 64, {}),
    "efficientformer": ("efficientformer_l1", 224, {}),
    "efficientformer_v2": ("efficientformerv2_s0", 64, {"img_size": 64}),
    "efficientnet": ("test_efficientnet", 64, {}),
    "efficientvim": ("efficientvim_m1", 64, {}),
    "efficientvit_mit": ("efficientvit_b0", 64, {}),
    "efficientvit_msra": ("efficientvit_m0", 64, {"img_size": 64}),
    "eva": ("eva02_tiny_patch14_224", 56, {"img_size": 56}),
    "fasternet": ("fasternet_t0", 64, {}),
    "fastvit": ("fastvit_t8", 64, {}),
    "focalnet": ("focalnet_tiny_srf", 64, {}),
    "gcvit": ("gcvit_xxtiny", 64, {"img_size": 64}),
    "ghostnet": ("ghostnet_050", 64, {}),
    "hardcorenas": ("hardcorenas_b", 64, {}),
    "hgnet": ("hgnetv2_b0", 64, {}),
    "hiera": ("hiera_tiny_224", 64, {"img_size": 64}),
    "hieradet_sam2": ("hieradet_small", 64, {}),
    "hrnet": ("hrnet_w18_small", 64, {}),
    "iformer": ("iformer_t", 64, {}),
    "inception_next": ("inception_next_atto", 64, {}),
    "inception_resnet_v2": ("inception_resnet_v2", 96, {}),
    "inception_v3": ("inception_v3", 96, {}),
    "inception_v4": ("inception_v4", 96, {}),
    "lcnetv2": ("lcnetv2_small", 64, {}),
    "levit": ("levit_128s", 64, {"img_size": 64}),
    "lowformer": ("lowformer_b0", 64, {}),
    "mambaout": ("test_mambaout", 64, {}),
    "maxxvit": ("test_maxvit", 64, {"img_size": 64}),
    "metaformer": ("poolformerv2_s12", 64, {}),
    "mlp_mixer": ("gmlp_ti16_224", 64, {"img_size": 64}),
    "mobilenetv3": ("mobilenetv3_small_050", 64, {}),
    "mobilenetv5": ("mobilenetv5_base", 64, {}),
    "mobilevit": ("mobilevit_xxs", 64, {}),
    "mvitv2": ("mvitv2_tiny", 64, {}),
    "naflexvit": ("naflexvit_base_patch16_gap", 64, {}),
    "nasnet": ("nasnetalarge", 64, {}),
    "nest": ("nest_tiny", 64, {"img_size": 64}),
    "nextvit": ("nextvit_small", 64, {}),
    "nfnet": ("test_nfnet", 64, {}),
    "pit": ("pit_ti_224", 64, {"img_size": 64}),
    "pnasnet": ("pnasnet5large", 64, {}),
    "pvt_v2": ("pvt_v2_b0", 64, {}),
    "rdnet": ("rdnet_tiny", 64, {}),
    "regnet": ("regnetx_002", 64, {}),
    "repghost": ("repghostnet_050", 64, {}),
    "repvit": ("repvit_m1", 64, {}),
    "res2net": ("res2next50", 64, {}),
    "resnest": ("resnest14d", 64, {}),
    "resnet": ("test_resnet", 64, {}),
    "resnetv2": ("resnetv2_18", 64, {}),
    "rexnet": ("rexnet_100", 64, {}),
    "selecsls": ("selecsls42", 64, {}),
    "senet": ("legacy_seresnet18", 64, {}),
    "sequencer": ("sequencer2d_s", 64, {}),
    "shvit": ("shvit_s1", 64, {}),
    "sknet": ("skresnet18", 64, {}),
    "starnet": ("starnet_s050", 64, {}),
    "swiftformer": ("swiftformer_xs", 64, {}),
    "swin_transformer": ("swin_tiny_patch4_window7_224", 64, {"img_size": 64}),
    "swin_transformer_v2": ("swinv2_tiny_window8_256", 64, {"img_size": 64}),
    "swin_transformer_v2_cr": ("swinv2_cr_tiny_224", 64, {"img_size": 64}),
    "tiny_vit": ("tiny_vit_5m_224", 224, {}),
    "tnt": ("tnt_s_patch16_224", 64, {"img_size": 64}),
    "tresnet": ("tresnet_m", 64, {}),
    "twins": ("twins_svt_small", 64, {}),
    "vgg": ("vgg11", 64, {}),
    "visformer": ("visformer_tiny", 64, {"img_size": 64}),
    "vision_transformer": ("test_vit", 64, {"img_size": 64}),
    "vision_transformer_hybrid": ("vit_tiny_r_s16_p8_224", 64, {"img_size": 64}),
    "vision_transformer_relpos": ("test_vit_relpos", 64, {"img_size": 64}),
    "vision_transformer_sam": (
        "samvit_base_patch16_224",
        64,
        {"img_size": 64, "depth": 2, "global_attn_indexes": (1,)},
    ),
    "vitamin": ("vitamin_small_224", 64, {"img_size": 64}),
    "volo": ("volo_d1_224", 64, {"img_size": 64}),
    "vovnet": ("ese_vovnet19b_slim_dw", 64, {}),
    "xception": ("legacy_xception", 64, {}),
    "xception_aligned": ("xception41p", 64, {}),
    "xcit": ("xcit_nano_12_p8_224", 64, {}),
}

_VIT = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64, "image_size": 32}
_STAGES = {"hidden_sizes": [16, 24, 32, 48], "depths": [1, 1, 1, 1]}
# Their own weights before training let all values vanish: of depthwise layers they count too many outputs.
FAINT = ("lcnetv2",)
# Name of the configuration of transformers → its settings; a picture has `image_size` or 64 pixels a side.
TRANSFORMERS: dict[str, dict[str, Any]] = {
    "ViT": {**_VIT, "patch_size": 8},
    "DeiT": {**_VIT, "patch_size": 8},
    "Beit": {**_VIT, "patch_size": 8, "use_relative_position_bias": True},
    "Dinov2": {**_VIT, "patch_size": 8},
    "Swin": {"image_size": 64, "embed_dim": 16, "depths": [1, 1], "num_heads": [2, 4], "window_size": 4},
    "Swinv2": {"image_size": 64, "embed_dim": 16, "depths": [1, 1], "num_heads": [2, 4], "window_size": 4},
    "ConvNext": _STAGES,
    "ConvNextV2": _STAGES,
    "ResNet": {"embedding_size": 16, **_STAGES, "layer_type": "bottleneck"},
    "RegNet": {"embedding_size": 16, **_STAGES, "groups_width": 8},
    "MobileNetV1": {"depth_multiplier": 0.25},
    "MobileNetV2": {"depth_multiplier": 0.35},
    "MobileViT": {"image_size": 64, "hidden_sizes": [16, 24, 32], "neck_hidden_sizes": [8, 16, 24, 32, 40, 48, 96]},
    "MobileViTV2": {"image_size": 64, "width_multiplier": 0.5},
    "Levit": {"image_size": 64, "hidden_sizes": [32, 48, 64], "depths": [1, 1, 1], "key_dim": [8, 8, 8]},
    "PoolFormer": _STAGES,
    "Pvt": {"image_size": 64, **_STAGES, "hidden_sizes": [16, 32, 64, 64], "num_attention_heads": [1, 2, 4, 4]},
    "PvtV2": {"image_size": 64, **_STAGES, "hidden_sizes": [16, 32, 64, 64], "num_attention_heads": [1, 2, 4, 4]},
    # A stage needs more blocks than its number.
    "Cvt": {"embed_dim": [16, 32, 64], "num_heads": [1, 2, 4], "depth": [1, 2, 3]},
    "Segformer": {**_STAGES, "num_attention_heads": [1, 2, 2, 4]},
    "EfficientNet": {"image_size": 64, "width_coefficient": 0.25, "depth_coefficient": 0.3, "hidden_dim": 320},
    "Bit": {"embedding_size": 32, "hidden_sizes": [32, 64, 96, 128], "depths": [1, 1, 1, 1], "num_groups": 4},
    "FocalNet": {"image_size": 64, "embed_dim": 16, "depths": [1, 1, 1, 1]},
    "ViTMSN": {**_VIT, "patch_size": 8},
    "Data2VecVision": {**_VIT, "patch_size": 8},
    "SwiftFormer": {"image_size": 64, "depths": [1, 1, 1, 1], "embed_dims": [16, 24, 32, 48]},
    "Dinov2WithRegisters": {**_VIT, "patch_size": 8},
    "IJepa": {**_VIT, "patch_size": 8},
    "DonutSwin": {"image_size": 64, "embed_dim": 16, "depths": [1, 1], "num_heads": [2, 4], "window_size": 4},
    "HGNetV2": {},
    "TextNet": {},
    "Hiera": {"image_size": [64, 64], "embed_dim": 16, "depths": [1, 1, 1, 1], "num_heads": [1, 2, 4, 8]},
}

_EEG = {"n_chans": 22, "n_times": 1000, "sfreq": 250, "n_outputs": 4}
_SLEEP = {"n_chans": 2, "n_times": 3000, "sfreq": 100, "n_outputs": 5}
# Name of the class of braindecode → its settings.
BRAINDECODE: dict[str, dict[str, Any]] = {
    "EEGNet": _EEG,
    "EEGNetv4": _EEG,
    "EEGNetv1": _EEG,
    "ShallowFBCSPNet": _EEG,
    "Deep4Net": _EEG,
    "EEGConformer": _EEG,
    "ATCNet": _EEG,
    "EEGInceptionMI": _EEG,
    "EEGInceptionERP": _EEG,
    "EEGITNet": _EEG,
    "EEGNeX": _EEG,
    "EEGSimpleConv": _EEG,
    "EEGTCNet": _EEG,
    "TIDNet": _EEG,
    "TSception": _EEG,
    "HybridNet": _EEG,
    "SCCNet": _EEG,
    "CTNet": _EEG,
    "MSVTNet": _EEG,
    "AttentionBaseNet": _EEG,
    "SincShallowNet": _EEG,
    "FBCNet": _EEG,
    "IFNet": _EEG,
    "BDTCN": _EEG,
    "SyncNet": _EEG,
    "ContraWR": _EEG,
    "EEGMiner": _EEG,
    "SPARCNet": _EEG,
    "SSTDPN": _EEG,
    "FBLightConvNet": _EEG,
    "FBMSNet": _EEG,
    "TCFormer": _EEG,
    "MEDFormer": _EEG,
    "BIOT": _EEG,
    "SleepStagerChambon2018": _SLEEP,
    "SleepStagerBlanco2020": _SLEEP,
    "AttnSleep": {**_SLEEP, "n_chans": 1},
    "DeepSleepNet": {**_SLEEP, "n_chans": 1},
}


class Logits(nn.Module):
    """A classifier whose answer is a record: its scores alone."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, pixel_values: Tensor) -> Tensor:
        return self.model(pixel_values).logits


def known(library: str, member: str) -> bool:
    """Whether the installed release of the library has the model."""
    if library == "timm":
        import timm

        return timm.is_model(TIMM[member][0])
    if library == "transformers":
        import transformers

        return hasattr(transformers, f"{member}ForImageClassification")
    import braindecode.models

    return hasattr(braindecode.models, member)


def build(library: str, member: str) -> tuple[nn.Module, Tensor]:
    """Build a model with random weights, in evaluation mode and never run, and two examples for it."""
    torch.manual_seed(0)
    model, shape = {"timm": _timm, "transformers": _transformers, "braindecode": _braindecode}[library](member)
    for parameter in model.parameters():
        # Heads and branches that begin at zero would have nothing to explain.
        if parameter.dim() > 1 and not bool(parameter.any()):
            nn.init.normal_(parameter, std=0.05)
    return model.eval(), torch.randn(2, *shape, generator=torch.Generator().manual_seed(1))


def _timm(member: str) -> tuple[nn.Module, tuple[int, ...]]:
    import timm

    name, edge, options = TIMM[member]
    model = timm.create_model(name, pretrained=False, num_classes=CLASSES, **options)
    return _strong(model) if member in FAINT else model, (3, edge, edge)


def _transformers(member: str) -> tuple[nn.Module, tuple[int, ...]]:
    import transformers

    settings = TRANSFORMERS[member]
    config = getattr(transformers, f"{member}Config")(num_labels=CLASSES, **settings)
    model = getattr(transformers, f"{member}ForImageClassification")(config)
    # Weights as small as before training would let the values of narrow layers vanish.
    _strong(model)
    edge = settings.get("image_size", 64)
    edge = edge[0] if isinstance(edge, list) else edge
    return Logits(model), (3, edge, edge)


def _strong(model: nn.Module) -> nn.Module:
    """Draw weights anew, of a size that keeps the values of one layer as large as those of the one before."""
    for module in model.modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            nn.init.kaiming_normal_(module.weight)
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.ones_(module.weight)
    return model


def _braindecode(member: str) -> tuple[nn.Module, tuple[int, ...]]:
    import braindecode.models

    settings = BRAINDECODE[member]
    kind = getattr(braindecode.models, member)
    # Older releases of some models ask for fewer settings.
    known = inspect.signature(kind).parameters
    return kind(**{k: v for k, v in settings.items() if k in known}), (settings["n_chans"], settings["n_times"])
