"""How the shell's explanation is asked for; what it writes is tested with the shell."""

import numpy as np
import pytest
from PIL import Image

from lrp_explorer.app import written
from lrp_explorer.errors import InputError, UnknownNameError


def test_classes_by_name_or_index() -> None:
    classes = ("tabby", "crane", "volcano", "crane", "7")
    assert written.class_index("Tabby ", classes) == 0
    assert written.class_index("2", classes) == 2
    # A name goes before an index.
    assert written.class_index("7", classes) == 4
    with pytest.raises(InputError, match="'crane' is the name of classes 1, 3; give the index"):
        written.class_index("crane", classes)
    with pytest.raises(UnknownNameError, match=r"unknown class 'vulcano'\. Did you mean 'volcano'"):
        written.class_index("vulcano", classes)


def test_few_bits_in_a_wide_file_are_stretched_on_request_and_told(tmp_path) -> None:
    ramp = np.arange(784, dtype=np.uint16).reshape(28, 28) * 5
    Image.fromarray(ramp).save(tmp_path / "scan.png")
    asked = (str(tmp_path / "scan.png"), "digits-mlp", None, "epsilon-plus", None, "cpu")
    with pytest.warns(UserWarning, match="nearly uniform"):
        plain = written.explain(*asked)
    stretched = written.explain(*asked, stretch=True)
    np.testing.assert_array_equal(stretched.picture, np.round(ramp / ramp.max() * 255))
    assert (plain.picture.max(), plain.settings["image"].keys()) == (15, {"file", "sha256"})
    assert stretched.settings["image"]["stretch"] is True
