"""The algebras that docs/semirings.md writes: its code, run block by block."""

import re
from functools import cache
from pathlib import Path

import pytest

from lrp_explorer.errors import InputError
from lrp_explorer.semirings import build

PAGE = Path(__file__).parents[2] / "docs" / "semirings.md"


@cache
def page():
    """Names that the page defines, and the messages of the blocks marked as refused."""
    names, messages = {"__name__": "page"}, []
    for refused, code in re.findall(r"```python( raises)?\n(.*?)```", PAGE.read_text(), re.DOTALL):
        if refused:
            with pytest.raises(InputError) as caught:
                exec(code, names)
            messages.append(str(caught.value))
        else:
            exec(code, names)
    # Built while they are registered: other tests start from a registry of their own.
    names["made"] = {name: build(name) for name in ("lukasiewicz", "best-paths", "two-best-paths")}
    return names, messages


def written(name):
    """Give one of the page's algebras."""
    return page()[0]["made"][name]
