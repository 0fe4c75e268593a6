"""The rules of a network in words: formula, meaning, valid range, and how many layers each serves."""

from __future__ import annotations

import html
import inspect
import re
from collections.abc import Iterable, Mapping

from lrp_explorer import composites, rules, semirings

VALID: Mapping[str, str] = {
    "Zero": "any input",
    "Epsilon": "ε ≥ 0",
    "Gamma": "γ ≥ 0",
    "AlphaBeta": "α ≥ 1, β ≥ 0, α − β = 1",
    "ZPlus": "any input; every share is ≥ 0",
    "ZBox": "low ≤ input ≤ high, low < high",
    "WSquare": "first layer, any input",
    "Flat": "first layer, any input",
    "Gradient": "any differentiable layer",
}
"""Rule → what its parameters or inputs must be; rules without an entry take anything."""


def formula(rule: type[rules.Rule]) -> str:
    """Give a rule's formula as HTML, with its indices low."""
    return _lowered(rule.formula)


def summary(owner: type) -> str:
    """Give the first paragraph of a docstring as HTML, without marks of markup."""
    return _lowered(" ".join((inspect.getdoc(owner) or "").split("\n\n")[0].replace("`", "").split()))


def _lowered(text: str) -> str:
    return re.sub(r"_([a-z]+)\b", r"<sub>\1</sub>", html.escape(text))


def composite_line(name: str) -> str:
    """Say in a sentence what a composite does."""
    return summary(composites.get(name))


def semiring_line(name: str) -> str:
    """Say in plain text what a semiring asks, and its operations."""
    asked, formula = _semiring(name)
    return f"{asked} ({formula})" if formula else asked


def semiring_page(name: str) -> str:
    """Explain a semiring as `page` explains rules."""
    asked, formula = _semiring(name)
    parts = [f"<h3>{html.escape(name)} <span>semiring</span></h3>"]
    parts += [f'<p class="lrp-formula">{_lowered(formula)}</p>'] if formula else []
    return f'<section class="lrp-rule">{"".join(parts)}<p>{_lowered(asked)}</p></section>'


def _semiring(name: str) -> tuple[str, str]:
    """Give the first paragraph of a semiring's docstring in plain text, and its formula."""
    found = semirings.get(name)
    kind = found if isinstance(found, type) else type(found)
    asked = (inspect.getdoc(kind) or name).split("\n\n")[0].replace("`", "")
    return " ".join(asked.split()), kind.formula


def page(uses: Iterable[tuple[str, int]]) -> str:
    """Explain the rules at work.

    Parameters
    ----------
    uses : iterable of (str, int)
        Name of a rule's class and the number of layers it serves, in the order in which they are to be explained.

    Returns
    -------
    str
        HTML: a section for each rule.
    """
    entries = []
    for name, count in uses:
        rule = getattr(rules, name, None)
        if not (isinstance(rule, type) and issubclass(rule, rules.Rule)):
            continue
        layers = "1 layer" if count == 1 else f"{count} layers"
        parts = [f"<h3>{html.escape(name)} <span>{layers}</span></h3>"]
        if rule.formula:
            parts.append(f'<p class="lrp-formula">{formula(rule)}</p>')
        parts.append(f"<p>{summary(rule)}</p>")
        if name in VALID:
            parts.append(f"<p>Valid: {html.escape(VALID[name])}.</p>")
        entries.append(f'<section class="lrp-rule">{"".join(parts)}</section>')
    return "".join(entries)
