"""How the shell's explanation is asked for; what it writes is tested with the shell."""

import pytest

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
