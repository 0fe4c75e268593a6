"""The numbers that a slider can move: read from the fields of composites and rules, shown by the table below."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lrp_explorer import composites, rules
from lrp_explorer.errors import InputError, unknown_name


@dataclass(frozen=True)
class Parameter:
    """How a number is offered.

    Attributes
    ----------
    name : str
        Name of the field in composites and rules.
    symbol : str
        The papers' letter.
    low, high, step : float
        Ends and step of the slider; for a logarithmic one the ends are values and the step is in powers of ten.
    logarithmic : bool
        Whether the slider moves in powers of ten.
    valid : str
        Range of values that are accepted.
    meaning : str
        What a larger value does, in a few words.
    fields : tuple of str
        Fields of rules that it ends up in; empty where it chooses between rules.
    """

    name: str
    symbol: str
    low: float
    high: float
    step: float
    logarithmic: bool
    valid: str
    meaning: str
    fields: tuple[str, ...] = ()

    def clip(self, value: float) -> float:
        """Bring a value between the ends of the slider."""
        return min(max(value, self.low), self.high)


PARAMETERS: dict[str, Parameter] = {
    p.name: p
    for p in (
        Parameter(
            name="epsilon",
            symbol="ε",
            low=1e-9,
            high=1e2,
            step=0.05,
            logarithmic=True,
            valid="ε ≥ 0",
            meaning="absorbs weak relevance",
            fields=("epsilon", "stabilizer"),
        ),
        Parameter(
            name="gamma",
            symbol="γ",
            low=0.0,
            high=5.0,
            step=0.01,
            logarithmic=False,
            valid="γ ≥ 0",
            meaning="favours positive parts; γ → ∞ is z⁺",
            fields=("gamma",),
        ),
        Parameter("lower", "γ ends", 0.0, 1.0, 0.01, False, "0 to 1", "share of layers with rule γ"),
        Parameter("upper", "ε ends", 0.0, 1.0, 0.01, False, "0 to 1", "beyond this share: LRP-0"),
    )
}
"""Field name → how it is offered; a new number of a composite needs a line here and nothing else."""

GIVEN = frozenset({"low", "high"})
"""Fields that the model's input tells, not the user."""


def offered_composites() -> list[str]:
    """Names of the presets that need nothing but the bounds of the input; everything else has a default."""
    return [name for name in composites.names() if _required(composites.get(name)) <= GIVEN]


def offered_rules() -> list[str]:
    """Names of the rules that can stand on every layer with weights."""
    found = {name: getattr(rules, name) for name in rules.__all__}
    return [
        name
        for name, rule in found.items()
        if isinstance(rule, type)
        and issubclass(rule, rules.Rule)
        and rule.formula
        and {"convolution", "linear"} <= rule.kinds
        and _required(rule) <= GIVEN
    ]


def takes_rule(composite: str) -> bool:
    """Tell whether the preset puts one chosen rule everywhere."""
    return "rule" in _fields(composites.get(composite))


def rule_type(name: str) -> type[rules.Rule]:
    """Look a rule's class up by name."""
    if name not in offered_rules():
        raise unknown_name("rule", name, offered_rules())
    return getattr(rules, name)


def defaults(composite: str, rule: str) -> dict[str, float]:
    """Give the numbers that a composite, or the rule it puts everywhere, lets one choose, with their defaults."""
    owner = rule_type(rule) if takes_rule(composite) else composites.get(composite)
    fields = _fields(owner)
    return {name: float(fields[name].default) for name in PARAMETERS if name in fields}


def needs_bounds(composite: str, rule: str) -> bool:
    """Tell whether the lowest and highest value of the input matter."""
    owner = rule_type(rule) if takes_rule(composite) else composites.get(composite)
    return bool(GIVEN & _fields(owner).keys())


def build(composite: str, rule: str, numbers: Mapping[str, float], bounds: tuple[Any, Any] | None) -> Any:
    """Make the composite that the state describes.

    Parameters
    ----------
    composite, rule : str
        Names; the rule counts only where `takes_rule`.
    numbers : mapping
        Field name → value, as `defaults` gives them.
    bounds : tuple, optional
        `(low, high)` of the input, where `needs_bounds`.

    Raises
    ------
    InputError
        If a value is out of its range, or bounds are needed and missing.
    """
    values: dict[str, Any] = dict(numbers)
    if needs_bounds(composite, rule):
        if bounds is None:
            raise InputError(f"{composite!r} needs the lowest and highest value of the input; none are known")
        values |= {"low": bounds[0], "high": bounds[1]}
    if takes_rule(composite):
        return composites.get(composite)(rule=rule_type(rule)(**values))  # type: ignore[call-arg]
    return composites.get(composite)(**values)


def _fields(owner: type) -> dict[str, Any]:
    return {field.name: field for field in dataclasses.fields(owner)}


def _required(owner: type) -> set[str]:
    missing = dataclasses.MISSING
    return {n for n, f in _fields(owner).items() if f.default is missing and f.default_factory is missing}
