import dataclasses

import pytest

from lrp_explorer import composites, rules
from lrp_explorer.errors import InputError, UnknownNameError
from lrp_explorer.panels import parameters

BOUNDS = ((0.0,), (1.0,))


def test_every_preset_of_the_library_is_offered_today():
    assert parameters.offered_composites() == composites.names()


@pytest.mark.parametrize("name", composites.names())
def test_each_preset_is_built_from_its_own_fields(name):
    numbers = parameters.defaults(name, "Epsilon")
    composite = parameters.build(name, "Epsilon", numbers, BOUNDS)
    assert type(composite) is composites.get(name)
    if not parameters.takes_rule(name):
        fields = {field.name for field in dataclasses.fields(composite)}
        assert set(numbers) == fields & parameters.PARAMETERS.keys()
        assert all(getattr(composite, field) == value for field, value in numbers.items())


@pytest.mark.parametrize("name", parameters.offered_rules())
def test_each_rule_is_built_everywhere(name):
    numbers = parameters.defaults("uniform", name)
    composite = parameters.build("uniform", name, numbers, BOUNDS)
    assert type(composite.rule) is getattr(rules, name)
    assert all(getattr(composite.rule, field) == value for field, value in numbers.items())


def test_rules_for_layers_without_weights_are_not_offered():
    assert {"Zero", "Epsilon", "Gamma", "AlphaBeta", "ZPlus"} <= set(parameters.offered_rules())
    assert not {"Pass", "Winner", "LinearRule", "Rule", "Share"} & set(parameters.offered_rules())


def test_the_number_moved_arrives_in_the_composite():
    composite = parameters.build("epsilon-gamma-box", "Epsilon", {"epsilon": 0.5, "gamma": 2.0}, BOUNDS)
    assert composite == composites.EpsilonGammaBox(*BOUNDS, epsilon=0.5, gamma=2.0)


def test_bounds_are_asked_for_only_where_they_matter():
    assert parameters.needs_bounds("epsilon-gamma-box", "Epsilon")
    assert parameters.needs_bounds("uniform", "ZBox")
    assert not parameters.needs_bounds("uniform", "Epsilon")
    assert not parameters.needs_bounds("epsilon-plus", "ZBox")
    with pytest.raises(InputError, match="needs the lowest and highest value"):
        parameters.build("epsilon-gamma-box", "Epsilon", {}, None)


def test_a_number_out_of_range_is_refused_by_the_rule_itself():
    with pytest.raises(InputError, match=r"gamma is -1.0, but a number at least 0 is expected"):
        parameters.build("epsilon-gamma-box", "Epsilon", {"gamma": -1.0}, BOUNDS)


def test_unknown_rules_are_answered_with_the_nearest():
    with pytest.raises(UnknownNameError, match="Did you mean 'Gamma'"):
        parameters.rule_type("Gama")


def test_defaults_lie_on_their_sliders():
    for name in composites.names():
        for rule in parameters.offered_rules():
            for field, value in parameters.defaults(name, rule).items():
                assert parameters.PARAMETERS[field].clip(value) == value
