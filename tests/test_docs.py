"""README and docs run as pasted: every block of Python in order, every command of the shell."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path

import pytest
import torch

from lrp_explorer import cli
from lrp_explorer.errors import LrpError

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
ELSEWHERE = {"masks.md": "analyses/test_study.py", "semirings.md": "semirings/written.py"}
"""Pages whose blocks other tests run, which go on from there."""

MARK = "<!-- not run: needs a download -->"
BLOCK = re.compile(rf"({re.escape(MARK)}\n)?^```(\S+)([^\n]*)\n(.*?)^```$", re.M | re.S)
MARKED = {"pip install", "lrp-explorer explain photo.jpg --model vgg16"}
"""All that needs a download, and nothing else."""


def blocks(page, language):
    """Give the blocks of a page in one language that are to be run: their options and their text."""
    found = [match for match in BLOCK.finditer(page.read_text(encoding="utf-8")) if match[2] == language]
    return [(match[3].strip(), match[4]) for match in found if not match[1]]


def commands(text):
    return [line.partition(" #")[0].strip() for line in text.splitlines() if line.startswith("lrp-explorer")]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with what a reader has: a photograph, and weights of their own."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("file", [page for page in PAGES if page.name not in ELSEWHERE], ids=lambda file: file.name)
def test_the_python_of_a_page_runs(file, folder):
    names: dict = {}
    for options, text in blocks(file, "python"):
        code = compile(text, str(file), "exec")
        if options == "raises":
            with pytest.raises(LrpError):
                exec(code, names)
        else:
            exec(code, names)


def test_other_tests_run_the_rest():
    for page, test in ELSEWHERE.items():
        assert page in (ROOT / "tests" / test).read_text(encoding="utf-8")
        assert blocks(ROOT / "docs" / page, "python")


def test_only_downloads_are_left_out():
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        marked = [match for match in BLOCK.finditer(text) if match[1]]
        assert len(marked) == text.count(MARK)
        for match in marked:
            assert match[2] == "bash"
            assert any(match[4].startswith(start) for start in MARKED), match[4]


def test_the_commands_of_the_readme_run(folder, capsys):
    import sklearn.datasets
    from torchvision import models

    shutil.copy(Path(sklearn.datasets.__file__).parent / "images" / "flower.jpg", folder / "photo.jpg")
    torch.manual_seed(0)
    torch.save(models.squeezenet1_0(weights=None).state_dict(), folder / "weights.pt")
    for _, text in blocks(ROOT / "README.md", "bash"):
        for command in commands(text):
            options = shlex.split(command)[1:]
            if options[0].startswith("--"):
                # Serves until it is ended: what it is told is checked, see tests/app.
                cli.parser().parse_args(options)
                continue
            assert cli.main(options) == 0, (command, capsys.readouterr().err)
    assert {path.name for path in folder.iterdir()} >= {"photo.jpg", "heatmap.html", "masks"}
    assert list((folder / "masks").iterdir())


def test_every_command_that_a_page_names_is_one_that_the_shell_takes():
    named = 0
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        found = [re.sub(r"\s+", " ", inline) for inline in re.findall(r"`(lrp-explorer [^`]+)`", text)]
        found += [one for match in BLOCK.finditer(text) if match[2] == "bash" for one in commands(match[4])]
        for command in found:
            cli.parser().parse_args(shlex.split(command)[1:])
            named += 1
    assert named > 4
