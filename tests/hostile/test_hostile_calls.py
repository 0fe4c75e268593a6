"""Calls that nobody should make: each is refused in words that name the value and what is expected, or works."""

import re

import numpy as np
import pytest
import torch
from hostile.accepted import ACCEPTED
from hostile.call import EXPECTATION
from hostile.calls import CALLS
from hostile.python_calls import PYTHON
from hostile.shell_calls import Said
from hostile.world import World

from lrp_explorer.errors import LrpError


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return World(tmp_path_factory.mktemp("hostile"))


@pytest.mark.parametrize("call", CALLS, ids=lambda call: call.name)
@pytest.mark.filterwarnings("ignore")
def test_it_is_refused_in_words_that_name_it(world, call):
    with pytest.raises((LrpError, Said)) as refusal:
        call.run(world)
    message = str(refusal.value)
    for word in call.words:
        assert re.search(word, message, re.IGNORECASE | re.DOTALL), (word, message)
    assert EXPECTATION.search(message), message


@pytest.mark.parametrize("name", PYTHON)
def test_it_is_an_error_of_python(world, name):
    run, kind, words = PYTHON[name]
    with pytest.raises(kind, match=words):
        run(world)


@pytest.mark.filterwarnings("ignore:The given NumPy array is not writable")
@pytest.mark.parametrize(("name", "run"), ACCEPTED, ids=[name for name, _ in ACCEPTED])
def test_it_is_taken_for_what_it_is(world, name, run):
    found, expected = run(world)
    if isinstance(expected, (torch.Tensor, np.ndarray)):
        assert type(found) is type(expected)
        assert torch.equal(torch.as_tensor(found), torch.as_tensor(expected)), name
    else:
        assert found == expected
