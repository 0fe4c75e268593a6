"""TorchVision's models: all of its classifiers, with what was published beside them, and nothing unsafe."""

from pathlib import Path

import pytest
import torch
from torchvision import models as tv

from lrp_explorer import zoo
from lrp_explorer.errors import WeightsError
from lrp_explorer.zoo.torchvision_models import NAMES, TorchvisionModel

OTHER_TASKS = (tv.detection, tv.segmentation, tv.video, tv.quantization, tv.optical_flow)


def test_the_list_is_exactly_torchvisions_classifiers():
    others = {name for task in OTHER_TASKS for name in tv.list_models(module=task)}
    expected = set(tv.list_models()) - others
    assert set(NAMES) == expected
    assert list(NAMES) == tv.list_models(module=tv)
    assert len(expected) >= 80
    ours = {f"{data}-{kind}" for data in ("digits", "mnist", "two-digits") for kind in ("mlp", "cnn")}
    assert set(zoo.models()) == expected | ours | {"two-digits-mnist-mlp"}


def test_every_card_tells_what_was_published():
    for name in NAMES:
        card = zoo.model_card(name)
        published = tv.get_model_weights(name)["DEFAULT"]
        transform = published.transforms()
        assert card.classes == tuple(published.meta["categories"])
        assert card.input_shape == (3, *transform.crop_size * 2)
        assert 0.5 < card.accuracy < 1
        assert card.licence
        assert published.url.split("/")[-1] in card.source
        assert card.datasets == ("photographs",)
        for low, high, mean, std in zip(card.low, card.high, card.mean, card.std, strict=True):
            assert (low * std + mean, high * std + mean) == pytest.approx((0, 1), abs=1e-12)
    assert "NC" in zoo.model_card("vit_h_14").licence  # not for commercial use


def test_the_bounds_are_reached_and_kept():
    card = zoo.model_card("squeezenet1_0")
    black, white = (card.preprocess(picture(value)) for value in (0, 255))
    for channel in range(3):
        assert black[channel].unique().tolist() == pytest.approx([card.low[channel]])
        assert white[channel].unique().tolist() == pytest.approx([card.high[channel]])


def picture(value: int):
    from PIL import Image

    return Image.new("RGB", (300, 300), (value,) * 3)


@pytest.mark.parametrize("name", ["squeezenet1_1", "resnet18", "googlenet", "inception_v3", "mobilenet_v3_small"])
def test_a_model_can_be_built_with_random_weights(name):
    torch.manual_seed(0)
    model = zoo.load_model(name, weights="random")
    assert not model.training
    assert not any("aux" in layer.lower() for layer, _ in model.named_modules())
    with torch.inference_mode():
        logits = model(torch.rand(1, *model.card.input_shape))
    assert logits.shape == (1, 1000)
    assert (model.card.accuracy, model.card.source) == (None, "random initialisation")


def test_random_weights_follow_torchs_seed():
    drawn = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        drawn.append(zoo.load_model("squeezenet1_1", weights="random").classifier[1].weight)
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])


def test_offline_the_missing_file_and_its_place_are_named(cache, offline):
    with pytest.raises(WeightsError) as caught:
        zoo.load_model("vgg16")
    message = str(caught.value)
    assert "'vgg16' are not on this machine and could not be downloaded" in message
    assert "Missing: vgg16-397923af.pth (528 MB) from download.pytorch.org" in message
    assert f"Put that file into {torch.hub.get_dir()}/checkpoints, or pass weights=PATH" in message


def test_a_file_put_where_the_message_says_is_used(cache, offline):
    torch.manual_seed(3)
    source = tv.squeezenet1_1(weights=None).state_dict()
    folder = cache.parent / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    torch.save(source, folder / "squeezenet1_1-b8a52dc0.pth")
    model = zoo.load_model("squeezenet1_1")
    assert torch.equal(model.state_dict()["classifier.1.weight"], source["classifier.1.weight"])
    assert model.card.accuracy == pytest.approx(0.58178)


def test_a_local_file_of_published_weights_gets_their_preprocessing(tmp_path):
    file = tmp_path / "mobilenet_v2-b0353104.pth"  # the first release, whose side was 256; the default's is 232
    torch.save(tv.mobilenet_v2(weights=None).state_dict(), file)
    assert zoo.load_model("mobilenet_v2", weights=file).card.preprocess.transform.resize_size == [256]
    file = file.rename(tmp_path / "own.pth")
    assert zoo.load_model("mobilenet_v2", weights=file).card.preprocess.transform.resize_size == [232]


def test_former_names_in_published_files_are_understood(tmp_path):
    """DenseNet's published files still say `norm.1` where the module says `norm1`."""
    state = tv.densenet121(weights=None).state_dict()
    former = {
        key.replace(".norm1.", ".norm.1.").replace(".norm2.", ".norm.2.")
        .replace(".conv1.", ".conv.1.").replace(".conv2.", ".conv.2."): value
        for key, value in state.items()
        if "num_batches_tracked" not in key
    }  # fmt: skip
    assert "features.denseblock1.denselayer1.norm.1.weight" in former
    torch.save(former, tmp_path / "old.pth")
    loaded = zoo.load_model("densenet121", weights=tmp_path / "old.pth").state_dict()
    assert all(torch.equal(loaded[key], state[key]) for key in state)


def test_counters_that_evaluation_does_not_use_may_be_missing(tmp_path):
    state = tv.mobilenet_v3_small(weights=None).state_dict()
    for key in [key for key in state if key.endswith("num_batches_tracked")]:
        del state[key]  # the notes of version stay, so PyTorch misses the counters
    torch.save(state, tmp_path / "lean.pth")
    loaded = zoo.load_model("mobilenet_v3_small", weights=tmp_path / "lean.pth").state_dict()
    assert all(torch.equal(loaded[key], state[key]) for key in state)


def test_heads_that_only_training_uses_are_left_out(tmp_path):
    whole = tv.googlenet(weights=None, aux_logits=True, init_weights=False)
    torch.save(whole.state_dict(), tmp_path / "google.pth")
    model = zoo.load_model("googlenet", weights=tmp_path / "google.pth")
    assert torch.equal(model.fc.weight, whole.fc.weight)
    assert model.transform_input


def test_safetensors_without_version_notes_are_not_taken_for_an_old_layout(tmp_path):
    """MNASNet rebuilds its stem when it is given a state dict without a version."""
    from safetensors.torch import save_file

    state = tv.mnasnet0_5(weights=None).state_dict()
    save_file(state, tmp_path / "mnasnet.safetensors")
    model = zoo.load_model("mnasnet0_5", weights=tmp_path / "mnasnet.safetensors")
    assert torch.equal(model.layers[0].weight, state["layers.0.weight"])


def test_a_vision_transformer_has_the_size_of_its_weights():
    assert zoo.model_card("vit_h_14").input_shape == (3, 518, 518)
    assert TorchvisionModel("vit_b_16").build(Path("vit_b_16_swag-9ac1b537.pth")).image_size == 384


SEEN = {
    "cat21": ("tabby", 0.52),
    "rooster2": ("cock", 0.48),
    "scooter1": ("moped", 0.80),
    "volcano2": ("volcano", 0.995),
}


def test_squeezenet_with_imagenet_weights_sees_what_is_there(real_data):
    model = zoo.load_model("squeezenet1_0", weights=real_data / "squeezenet1_0" / "squeezenet1_0-imagenet-fp16.pt")
    data = zoo.load_dataset(f"folder:{real_data / 'images'}", card=model.card)
    with torch.inference_mode():
        probabilities = model(torch.stack([example for example, _ in data])).softmax(dim=1)
    found = {}
    for index, row in enumerate(probabilities):
        share, place = row.max(dim=0)
        found[data.caption(index).removesuffix(".jpg")] = (model.card.classes[place], share.item())
    assert {name: label for name, (label, _) in found.items()} == {name: label for name, (label, _) in SEEN.items()}
    for name, (_, share) in SEEN.items():
        assert found[name][1] == pytest.approx(share, abs=0.006)
