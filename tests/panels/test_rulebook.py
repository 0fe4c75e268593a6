import pytest

from lrp_explorer import composites, rules
from lrp_explorer.panels import parameters, rulebook


def test_indices_stand_low():
    assert rulebook.formula(rules.Zero) == (
        "R<sub>j</sub> = Σ<sub>k</sub> a<sub>j</sub> w<sub>jk</sub> / z<sub>k</sub> · R<sub>k</sub>"
    )


@pytest.mark.parametrize("name", parameters.offered_rules())
def test_every_rule_that_can_be_chosen_has_formula_meaning_and_range(name):
    page = rulebook.page([(name, 2)])
    assert f"<h3>{name} <span>2 layers</span></h3>" in page
    assert rulebook.formula(getattr(rules, name)) in page
    assert "Valid: " in page


@pytest.mark.parametrize("name", composites.names())
def test_every_composite_is_described_in_a_sentence(name):
    line = rulebook.composite_line(name)
    assert line.endswith(".")
    assert "`" not in line


def test_one_layer_is_one_layer_and_strangers_are_left_out():
    page = rulebook.page([("Flat", 1), ("Nothing", 3)])
    assert "1 layer<" in page
    assert "Nothing" not in page


def test_ranges_are_those_of_rules_that_exist():
    assert set(rulebook.VALID) <= set(rules.__all__)
