"""Training: the same command gives the same bits, and what is saved can be trusted."""

import numpy as np
import pytest
import torch

from lrp_explorer.errors import DataError, UnknownNameError
from lrp_explorer.zoo import shipped
from lrp_explorer.zoo.checkpoints import file_digest, read_state, state_digest
from lrp_explorer.zoo.distortion import SHIFT, distort, distort_pairs
from lrp_explorer.zoo.recipes import RECIPES, pace, shrink
from lrp_explorer.zoo.shipped import read_checksums, read_facts
from lrp_explorer.zoo.train import main, save, train


def short(name: str = "digits-mlp", seed: int = 0, **options):
    return train(name, epochs=2, seed=seed, limit=300, progress=False, **options)


@pytest.mark.parametrize("name", ["digits-mlp", "digits-cnn", "two-digits-mlp"])
def test_training_twice_gives_identical_weights(name):
    first = short(name).model.state_dict()
    torch.rand(7)  # the global generator stands elsewhere
    second = short(name).model.state_dict()
    assert all(torch.equal(first[key], second[key]) for key in first)


def test_no_weight_is_left_that_is_too_small_to_matter():
    for parameter in train("digits-mlp", epochs=20, limit=300, progress=False).model.parameters():
        assert not ((parameter != 0) & (parameter.abs() < 1e-8)).any()


def test_each_of_our_models_has_a_recipe():
    assert set(RECIPES) == {model.name for model in shipped.SHIPPED}


def test_shrinking_is_the_soft_threshold_and_leaves_biases_alone():
    layer = torch.nn.Linear(4, 1)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[-0.5, -0.1, 0.05, 0.75]]))
        layer.bias.fill_(0.05)
    shrink(layer, 0.25)
    assert layer.weight.tolist() == [[-0.25, 0.0, 0.0, 0.5]]
    assert layer.bias.item() == pytest.approx(0.05)


def test_two_digits_are_trained_with_shrinking_and_one_is_not():
    names = ("digits-mlp", "two-digits-mlp")
    models = [train(name, epochs=20, limit=300, progress=False).model for name in names]
    one, two = ((model.output.weight == 0).float().mean().item() for model in models)  # reached by the loss alone
    assert one == 0
    assert two > 0.01


def test_another_seed_gives_other_weights():
    assert not torch.equal(short(seed=0).model[1].weight, short(seed=1).model[1].weight)


def test_a_short_training_already_learns():
    trained = train("digits-cnn", epochs=6, progress=False)
    assert trained.accuracy > 0.8
    assert not trained.model.training


def test_the_callers_random_numbers_and_threads_are_left_alone():
    torch.manual_seed(1)
    expected = torch.rand(3)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    torch.manual_seed(1)
    short()
    assert torch.equal(torch.rand(3), expected)
    assert torch.get_num_threads() == 2
    torch.set_num_threads(before)


def test_the_command_writes_weights_facts_and_checksums(tmp_path, capsys, monkeypatch):
    main(["digits-mlp", "--epochs", "1", "--seed", "4", "--out", str(tmp_path / "new")])
    main(["digits-cnn", "--epochs", "1", "--out", str(tmp_path / "new")])
    paths = [tmp_path / "new" / f"digits-{kind}.safetensors" for kind in ("cnn", "mlp")]
    assert read_checksums(tmp_path / "new") == {path.name: file_digest(path) for path in paths}
    facts = read_facts(paths[1])
    assert facts["command"] == "python -m lrp_explorer.zoo.train digits-mlp --epochs 1 --seed 4"
    assert facts["sha256_of_tensors"] == state_digest(read_state(paths[1]))
    assert f"{100 * float(facts['accuracy']):.2f} % of the held-out examples of digits" in capsys.readouterr().out
    monkeypatch.setattr(shipped, "WEIGHTS", tmp_path / "new")
    assert shipped.SHIPPED[0].fetch() == paths[0]


def test_mnist_is_read_from_the_folder_that_is_named(mnist_folder):
    trained = train("mnist-mlp", data=mnist_folder, epochs=1, limit=1000, progress=False)
    assert trained.accuracy > 0.3  # eight steps; a guess is right for one in ten
    assert "--data FOLDER" in trained.facts["command"]


def test_mnist_is_paired_from_the_folder_that_is_named(mnist_folder):
    trained = train("two-digits-mnist-mlp", data=mnist_folder, epochs=2, limit=2000, progress=False)
    assert trained.model.dense1.in_features == 2 * 784
    assert trained.accuracy > 0.2  # 32 steps; a guess is right for one in ten
    assert trained.facts["data"] == "two-digits-mnist"


def test_missing_data_are_named(tmp_path, offline):
    with pytest.raises(DataError, match=r"'mnist' is not on this machine"):
        train("mnist-mlp", data=tmp_path, progress=False)


def test_a_model_that_is_not_ours_is_answered_with_ours():
    with pytest.raises(
        UnknownNameError, match=r"unknown model 'vgg16'.*Known: digits-cnn.*TorchVision's models come trained"
    ):
        train("vgg16")


@pytest.mark.parametrize("wrong", [{"epochs": 0}, {"limit": 0}])
def test_nothing_to_train_on_is_refused(wrong):
    with pytest.raises(DataError, match="expected at least 1 of each"):
        train("digits-mlp", **wrong)


@pytest.mark.parametrize("steps", [1, 2, 9, 10, 3000])
def test_the_pace_rises_then_falls_and_never_stops(steps):
    paces = [pace(step, steps) for step in range(steps)]
    top = paces.index(max(paces))
    assert top <= steps / 10
    assert paces == sorted(paces[: top + 1]) + sorted(paces[top + 1 :], reverse=True)
    assert min(paces) > 0
    assert max(paces) > 0.95 or steps < 10


def test_saving_again_keeps_the_other_checksums(tmp_path):
    trained = short()
    (tmp_path / "SHA256SUMS").write_text(f"{'0' * 64}  other.safetensors\n")
    save(trained, tmp_path)
    assert list(read_checksums(tmp_path)) == ["digits-mlp.safetensors", "other.safetensors"]


def test_a_distortion_moves_ink_a_little_and_differently_each_time():
    disc = ((torch.arange(28)[:, None] - 13.5) ** 2 + (torch.arange(28)[None] - 13.5) ** 2 < 36).float()
    pictures = disc.expand(200, 1, 28, 28)
    moved = distort(pictures, torch.Generator().manual_seed(0))
    assert moved.shape == pictures.shape
    assert (moved.min().item(), moved.max().item()) == pytest.approx((0, 1), abs=1e-5)
    total = moved.sum(dim=(1, 2, 3))
    rows = (moved.sum(dim=3)[:, 0] @ torch.arange(28.0)) / total - 13.5
    assert np.abs(rows.numpy()).max() <= SHIFT * 1.3  # the shift is scaled and turned with the picture
    assert rows.std() > 0.5
    assert 0.7 < (total / disc.sum()).min() < 0.95 < 1.05 < (total / disc.sum()).max() < 1.4
    again = distort(pictures, torch.Generator().manual_seed(0))
    assert torch.equal(moved, again)


@pytest.fixture
def stripes() -> torch.Tensor:
    """Eight pictures of two digits: a block above, a block below, each in places of its own."""
    pictures = torch.zeros(8, 1, 56, 28)
    for index in range(8):
        pictures[index, 0, 10:18, 4 + 2 * index : 8 + 2 * index] = 1
        pictures[index, 0, 38:46, 18 - 2 * index : 22 - 2 * index] = 1
    return pictures


def column(half: torch.Tensor) -> torch.Tensor:
    """The mean column of the ink of each picture."""
    ink = half.sum(dim=(1, 2))
    return (ink @ torch.arange(28.0)) / ink.sum(dim=1)


def test_upper_digits_stay_and_lower_ones_are_dealt_out_anew(stripes):
    varied = distort_pairs(stripes, torch.Generator().manual_seed(0))
    assert varied.shape == stripes.shape
    upper, lower = varied.split(28, dim=2)
    reach = SHIFT * 1.5 + 2  # and what turning adds
    assert (column(upper) - column(stripes[:, :, :28])).abs().max() < reach
    moved = (column(lower) - column(stripes[:, :, 28:])).abs()
    assert (moved > reach).any()
    order = column(lower).argsort()
    assert (column(lower)[order] - column(stripes[:, :, 28:]).sort().values).abs().max() < reach


def test_upper_ink_is_full_and_lower_ink_of_any_strength(stripes):
    varied = distort_pairs(stripes.repeat(100, 1, 1, 1), torch.Generator().manual_seed(0))
    upper, lower = (half.amax(dim=(1, 2, 3)) for half in varied.split(28, dim=2))
    assert upper.min() > 0.9
    assert lower.min() < 0.05
    assert lower.max() > 0.95
    assert lower.mean() == pytest.approx(0.5, abs=0.05)


def test_both_digits_are_turned_about_their_own_centres():
    """Turned about the picture's centre they would swing to the sides."""
    away = (torch.arange(28) - 13.5) ** 2
    disc = (away[:, None] + away[None] < 36).float()
    pictures = torch.cat([disc, disc]).expand(200, 1, 56, 28)
    for half in distort_pairs(pictures, torch.Generator().manual_seed(0)).split(28, dim=2):
        assert (column(half) - 13.5).abs().max() <= SHIFT * 1.3  # as of a single digit
        assert column(half).std() > 0.5
