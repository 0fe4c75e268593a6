"""How refusals are checked: the class of the error, and the words that its message must hold."""

import pytest


def refused(error, *words):
    """Expect an error of the house whose message holds each of the words (regular expressions, any case, any order)."""
    return pytest.raises(error, match="(?is)" + "".join(f"(?=.*{word})" for word in words))
