import pytest
import traitlets

from lrp_explorer.errors import UnknownNameError
from lrp_explorer.panels.state import ExplainState


@pytest.fixture
def state():
    return ExplainState(model="digits-cnn", data="digits", example=4)


def test_a_request_is_the_state_frozen(state):
    state.set_number("gamma", 0.5)
    before = state.request()
    state.example = 5
    state.set_number("gamma", 1.0)
    assert (before.model, before.data, before.example, before.target) == ("digits-cnn", "digits", 4, None)
    assert dict(before.numbers) == {"epsilon": 1e-6, "gamma": 0.5}
    assert before.topic == ("digits-cnn", "digits", 4)
    assert state.request().topic == ("digits-cnn", "digits", 5)


@pytest.mark.parametrize("change", [{"model": "digits-mlp"}, {"data": "mnist"}, {"example": 5}])
def test_another_subject_brings_back_the_predicted_class(state, change):
    state.target = 3
    for name, value in change.items():
        setattr(state, name, value)
    assert state.target is None


def test_another_rule_keeps_the_class(state):
    state.target = 3
    state.composite = "epsilon-plus"
    state.set_number("epsilon", 0.1)
    assert state.target == 3


def test_a_class_can_be_given_from_the_beginning():
    assert ExplainState(model="digits-cnn", data="digits", example=4, target=3).target == 3


def test_a_composite_brings_its_own_numbers_and_finds_them_again(state):
    state.set_number("gamma", 2.0)
    state.composite = "epsilon-plus"
    assert state.numbers == {"epsilon": 1e-6}
    state.composite = "epsilon-gamma-box"
    assert state.numbers == {"epsilon": 1e-6, "gamma": 2.0}


def test_one_rule_everywhere_has_the_numbers_of_the_rule(state):
    state.composite = "uniform"
    assert state.numbers == {"epsilon": 1e-6}
    state.rule = "Gamma"
    assert state.numbers == {"gamma": 0.25}
    state.set_number("gamma", 3.0)
    state.rule = "ZPlus"
    assert state.numbers == {}
    state.rule = "Gamma"
    assert state.numbers == {"gamma": 3.0}


def test_numbers_that_the_composite_does_not_have_are_left_alone(state):
    state.composite = "epsilon-plus"
    state.set_number("gamma", 3.0)
    assert state.numbers == {"epsilon": 1e-6}


def test_numbers_can_be_given_from_the_beginning():
    assert ExplainState(numbers={"gamma": 0.5, "nonsense": 1.0}).numbers == {"epsilon": 1e-6, "gamma": 0.5}


def test_one_change_of_composite_is_one_consistent_request(state):
    seen = []
    state.observe(lambda _: seen.append(state.request()), list(ExplainState.EXPLAINED))
    state.composite = "epsilon-plus"
    assert {(r.composite, r.numbers) for r in seen} == {("epsilon-plus", (("epsilon", 1e-6),))}


def test_names_are_checked_with_the_nearest_suggested(state):
    with pytest.raises(UnknownNameError, match="Did you mean 'epsilon-plus"):
        state.composite = "epsilon-pluss"
    with pytest.raises(UnknownNameError, match="Did you mean 'Gamma'"):
        state.rule = "gamma"
    assert (state.composite, state.rule) == ("epsilon-gamma-box", "Epsilon")


@pytest.mark.parametrize(("trait", "value"), [("example", -1), ("target", -1), ("view", "sideways"), ("example", "3")])
def test_impossible_values_are_refused(state, trait, value):
    with pytest.raises(traitlets.TraitError):
        setattr(state, trait, value)
