"""The shell: what it writes, what it tells, and how it refuses: one line, code 2."""

import json
import re
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from plotly.offline import get_plotlyjs

import lrp_explorer as lrp
from lrp_explorer import cli, zoo


@pytest.fixture(scope="module")
def digit(tmp_path_factory) -> Path:
    """A scanned digit as an image file, black ink on white as paper has it."""
    data = zoo.load_dataset("digits")
    path = tmp_path_factory.mktemp("digit") / "seven.png"
    index = next(i for i in range(len(data)) if data.labels[i] == 7)
    Image.fromarray(data.image(index)).save(path)
    return path


@pytest.fixture
def run(capsys):
    def call(*arguments: object) -> tuple[int, str, str]:
        try:
            code = cli.main([str(argument) for argument in arguments])
        except SystemExit as stop:
            code = int(stop.code or 0)
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return call


def test_numbers_agree_with_the_library(run, digit, tmp_path) -> None:
    out = tmp_path / "seven.npz"
    code, said, complained = run("explain", digit, "--model", "digits-cnn", "--out", out, "--device", "cpu")
    assert (code, complained) == (0, "")
    assert said.startswith(f"{out}: 7 (class 7), logit ")
    with np.load(out, allow_pickle=False) as arrays:
        x = torch.from_numpy(arrays["input"])[None]
        expected = lrp.explain(lrp.load_model("digits-cnn"), x, device="cpu")
        np.testing.assert_allclose(arrays["relevance"], expected.input[0].numpy(), rtol=1e-5, atol=1e-7)
        np.testing.assert_allclose(arrays["logits"], expected.logits[0].numpy(), rtol=1e-5, atol=1e-6)
        assert arrays["image"].shape == (28, 28)
        assert int(arrays["target"]) == 7
        assert sorted(arrays) == ["image", "input", "logits", "relevance", "settings", "target"]
        settings = json.loads(str(arrays["settings"]))
    assert settings["model"] == "digits-cnn"
    assert settings["composite"]["name"] == "epsilon-plus-flat"
    assert settings["target"] == {"index": 7, "class": "7", "predicted": 7}
    assert settings["image"]["file"] == "seven.png"
    assert len(settings["image"]["sha256"]) == 64


def test_every_layer_on_request(run, digit, tmp_path) -> None:
    out = tmp_path / "layers.npz"
    assert run("explain", digit, "--model", "digits-cnn", "--out", out, "--layers", "--device", "cpu")[0] == 0
    with np.load(out, allow_pickle=False) as arrays:
        expected = lrp.explain(lrp.load_model("digits-cnn"), torch.from_numpy(arrays["input"])[None], device="cpu")
        assert {name[7:] for name in arrays if name.startswith("layers/")} == set(expected.layers)
        for name in expected.layers:
            np.testing.assert_allclose(arrays[f"layers/{name}"], expected[name][0].numpy(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("target", ["3", 3])
def test_another_class_and_composite(run, digit, tmp_path, target) -> None:
    out = tmp_path / "three.npz"
    arguments = ["--target", target, "--composite", "epsilon-gamma-box", "--device", "cpu"]
    code, said, _ = run("explain", digit, "--model", "digits-mlp", "--out", out, *arguments)
    assert code == 0
    assert ": 3 (class 3)" in said
    settings = json.loads(str(np.load(out)["settings"]))
    assert settings["target"]["index"] == 3
    assert settings["target"]["predicted"] == 7
    assert settings["composite"]["is"].startswith("EpsilonGammaBox(")


def test_a_picture(run, digit, tmp_path) -> None:
    out = tmp_path / "seven.png"
    assert run("explain", digit, "--model", "digits-cnn", "--out", out, "--device", "cpu")[0] == 0
    with Image.open(out) as picture:
        pixels = np.asarray(picture.convert("RGB")).astype(int)
    assert pixels.shape[1] > 2 * 448
    redness = pixels[..., 0] - pixels[..., 2]
    left, right = redness[70:480, 20:440], redness[70:480, 490:900]
    assert np.abs(left).max() == 0, "the image is grey"
    assert right.max() > 100, "the heatmap has red in it"


def test_a_page_that_needs_nothing_else(run, digit, tmp_path) -> None:
    out = tmp_path / "seven.html"
    assert run("explain", digit, "--model", "digits-cnn", "--out", out, "--device", "cpu")[0] == 0
    page = out.read_text(encoding="utf-8")
    assert "plotly.js v" in page
    assert re.search(r"<title>7 \(class 7\), logit [^<]* · seven\.png · digits-cnn · epsilon-plus-flat</title>", page)
    assert not re.findall(r"<(?:script|link)[^>]+(?:src|href)=", page.replace(get_plotlyjs(), ""))
    assert '"showSendToCloud": false' in page


def test_a_local_checkpoint(run, digit, tmp_path) -> None:
    torch.manual_seed(0)
    model = zoo.load_model("digits-mlp", weights="random")
    torch.save(model.state_dict(), tmp_path / "mine.pt")
    out = tmp_path / "mine.npz"
    code, _, complained = run(
        "explain", digit, "--model", "digits-mlp", "--weights", tmp_path / "mine.pt", "--out", out, "--device", "cpu"
    )
    assert (code, complained) == (0, "")
    arrays = np.load(out)
    np.testing.assert_allclose(arrays["logits"], model(torch.from_numpy(arrays["input"])[None])[0].detach(), atol=1e-5)
    assert json.loads(str(arrays["settings"]))["weights"]["file"] == "mine.pt"


def test_names_one_a_line(run) -> None:
    for what, known in {"models": "digits-cnn", "datasets": "digits", "composites": "epsilon-plus-flat"}.items():
        code, said, _ = run("list", what)
        assert code == 0
        assert known in said.splitlines()
    code, said, _ = run("list")
    assert [line for line in said.splitlines() if not line.startswith(" ")] == ["models:", "datasets:", "composites:"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"--model": "digits-cn"}, "unknown model 'digits-cn'. Did you mean 'digits-cnn'"),
        ({"--composite": "epsilon-plus-flatt"}, "Did you mean 'epsilon-plus-flat'"),
        ({"--target": "seven"}, "unknown class 'seven'"),
        ({"--target": "10"}, "target is 10; the model has 10 classes: expected 0 to 9"),
        ({"--target": "-1"}, "target is -1"),
        ({"image": "missing.png"}, "there is no such file"),
        ({"--weights": "missing.pt"}, "missing.pt"),
        ({"--out": "out.gif"}, "--out is 'out.gif'; expected a file name that ends in .png, .html, .npz"),
        ({"--out": "no/such/folder/out.png"}, "there is no folder 'no/such/folder'"),
        ({"--device": "tpu"}, "'tpu' is no device"),
    ],
)
def test_refusals_are_one_line(run, digit, tmp_path, monkeypatch, change: dict, message: str) -> None:
    monkeypatch.chdir(tmp_path)
    options = {"image": digit, "--model": "digits-cnn", "--out": "out.png", "--device": "cpu", **change}
    image = options.pop("image")
    code, said, complained = run("explain", image, *(f"{name}={value}" for name, value in options.items()))
    assert (code, said) == (2, "")
    assert message in complained
    assert complained.startswith("lrp-explorer")
    assert len(complained.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_no_image(run, tmp_path) -> None:
    (tmp_path / "fake.png").write_bytes(b"\x89PNG\r\n\x1a\n then nothing")
    code, _, complained = run("explain", tmp_path / "fake.png", "--model", "digits-cnn", "--out", tmp_path / "o.png")
    assert code == 2
    assert "cannot be decoded" in complained
    assert "Traceback" not in complained


def test_layers_are_numbers(run, digit, tmp_path) -> None:
    code, _, complained = run("explain", digit, "--model", "digits-cnn", "--out", tmp_path / "o.png", "--layers")
    assert code == 2
    assert "ends in .npz" in complained


@pytest.mark.parametrize(
    ("arguments", "message"), [(["explain"], "required: image"), (["expl", "x"], "invalid choice")]
)
def test_a_command_line_that_cannot_be_read(run, arguments: list[str], message: str) -> None:
    code, _, complained = run(*arguments)
    assert code == 2
    assert message in complained
    assert len(complained.splitlines()) == 1


def test_a_port_in_use(run) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen(1)
        port = other.getsockname()[1]
        code, _, complained = run("--no-browser", "--port", port)
    assert code == 2
    assert f"port {port} of 127.0.0.1 is in use" in complained


@pytest.mark.parametrize(("flags", "said"), [("--help", "{explain,masks,list}"), ("--port 0", "port is 0")])
def test_it_answers_at_once(flags: str, said: str) -> None:
    script = (
        "import sys; from lrp_explorer import cli\n"
        f"try: cli.main({flags.split()})\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'numpy', 'plotly', 'voila', 'PIL', 'ipywidgets'} & set(sys.modules)\n"
        "sys.exit(f'imported: {heavy}' if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert said in done.stdout + done.stderr
