"""Every notebook page runs from its first cell to its last, and says what it promises."""

import re
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

PAGES = sorted((Path(__file__).parents[2] / "notebooks").glob("*.ipynb"))


def run(path):
    page = nbformat.read(path, as_version=4)
    NotebookClient(page, timeout=300, kernel_name="python3", resources={"metadata": {"path": path.parent}}).execute()
    return page


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_a_page_is_kept_without_outputs(path):
    page = nbformat.read(path, as_version=4)
    nbformat.validate(page)
    assert not any(cell.get("outputs") for cell in page.cells)


def test_masks():
    page = run(next(path for path in PAGES if path.stem == "masks"))
    said = "".join(output.get("text", "") for cell in page.cells for output in cell.get("outputs", []))
    share = float(re.search(r"([\d.]+)% of the relevant pixels lie in the upper half", said)[1])
    assert share >= 95.0
    pictures = [
        output for cell in page.cells for output in cell.get("outputs", []) if "image/png" in output.get("data", {})
    ]
    assert len(pictures) == 2
