"""``lrp-explorer masks``: numbers, picture and what it says; refusals in one line."""

import json
import re
import signal
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from lrp_explorer import cli
from lrp_explorer.analyses.aggregate import aggregate
from lrp_explorer.analyses.masks import Masks


@pytest.fixture
def run(capsys):
    def call(*arguments: object) -> tuple[int, str, str]:
        try:
            code = cli.main(["masks", *map(str, arguments)])
        except SystemExit as stop:
            code = int(stop.code or 0)
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return call


def test_numbers_picture_and_settings(run, model, digits, tmp_path):
    out = tmp_path / "new" / "folder"
    settings = ["--classes", "3,5", "--reduce", "and,or,mean,count", "--limit", 4, "--layer", "input,dense1"]
    code, said, bar = run("digits-cnn", "digits", *settings, "--theta", 0.01, "--out", out, "--device", "cpu")
    assert code == 0
    assert "examples 3: 4, 5: 4" in said
    assert "8/8" in bar
    assert sorted(path.name for path in out.iterdir()) == [
        "masks.dense1.png", "masks.input.png", "masks.json", "masks.safetensors",
    ]  # fmt: skip
    masks = Masks.load(out / "masks.safetensors")
    expected = aggregate(
        model, digits, classes=[3, 5], limit=4, layer=["input", "dense1"], reduce=("and", "or", "mean", "count"),
        theta=0.01, progress=False, device="cpu",
    )  # fmt: skip
    for name, array in expected.arrays.items():
        np.testing.assert_array_equal(masks.arrays[name], array)
    assert json.loads((out / "masks.json").read_text())["criterion"]["theta"] == 0.01
    with Image.open(out / "masks.input.png") as picture:
        assert picture.width > 4 * 100
        # Red for what speaks for the class, black where it is relevant always.
        colours = {colour for _, colour in picture.convert("RGB").getcolors(1 << 20)}
        assert (0, 0, 0) in colours
        assert any(red > green + 60 for red, green, _ in colours)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["digits-cnn", "digits", "--limit", "0"], ["limit is 0"]),
        (["digits-cnn", "digits", "--classes", "3,eleven"], ["unknown class 'eleven'"]),
        (["digits-cnn", "digits", "--reduce", "median"], ["unknown reduction 'median'"]),
        (["digits-cn", "digits"], ["unknown model", "digits-cnn"]),
        (["digits-cnn", "digit"], ["unknown data set", "digits"]),
        (["digits-cnn", "digits", "--limit", "many"], ["--limit", "--help"]),
    ],
)
def test_refusals_are_one_line_and_leave_nothing(run, tmp_path, arguments, words):
    (tmp_path / "there").mkdir()
    for out in (tmp_path / "there", tmp_path / "new" / "folder"):
        code, said, complained = run(*arguments, "--quiet", "--out", out)
        assert (code, said, complained.count("\n")) == (2, "", 1)
        for word in words:
            assert word in complained
    assert [path.name for path in tmp_path.rglob("*")] == ["there"]


def test_a_file_in_the_place_of_the_folder(run, tmp_path):
    (tmp_path / "there").write_text("")
    code, _, complained = run("digits-cnn", "digits", "--out", tmp_path / "there")
    assert code == 2
    assert "which is a file" in complained


def test_an_interrupt_writes_what_is_done(tmp_path):
    """Ctrl-C in a process of its own, once the bar shows that examples are done."""
    command = [
        sys.executable,
        "-m",
        "lrp_explorer.cli",
        "masks",
        "digits-cnn",
        "digits",
        "--batch",
        "1",
        "--out",
        tmp_path,
    ]
    running = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert running.stderr is not None
    said = ""
    while not re.search(r"masks: +[1-9]\d*%", said):
        said += running.stderr.read(1)
        assert running.poll() is None, said
    running.send_signal(signal.SIGINT)
    printed, complained = running.communicate(timeout=60)
    assert running.returncode == 130, complained
    assert "Traceback" not in complained
    assert "incomplete" in printed
    masks = Masks.load(tmp_path / "masks.safetensors")
    assert not masks.complete
    assert 0 < masks.counts[-1] < 539
    assert (tmp_path / "masks.png").stat().st_size > 1000


@pytest.mark.parametrize("settings", [[], ["--only-correct"]])
def test_an_interrupt_before_the_first_batch_ends_as_any_other(run, tmp_path, monkeypatch, settings):
    def pressed(self):
        signal.raise_signal(signal.SIGINT)

    # The first thing that is done once the arguments are understood.
    monkeypatch.setattr("lrp_explorer.analyses.job.Job.check", pressed)
    code, said, complained = run("digits-cnn", "digits", *settings, "--quiet", "--out", tmp_path / "new")
    assert (code, said) == (130, "")
    assert "cancelled before the first example" in complained
    assert list(tmp_path.iterdir()) == []
