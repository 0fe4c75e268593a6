"""Errors of Python's own protocols: of iteration, of attributes, and for a keyword that a function does not have."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hostile.world import World

import lrp_explorer as lrp
from lrp_explorer import composites, rules, semirings

PYTHON: dict[str, tuple[Callable[[World], Any], type[Exception], str]] = {
    "digits[1000000]": (lambda w: lrp.load_dataset("digits")[10**6], IndexError, "range"),
    "lrp.explian": (lambda w: lrp.explian, AttributeError, "'explian'.*explain"),
    "explain(tgt=)": (lambda w: w.explain(tgt=1), TypeError, "'tgt'"),
    "Session(tgt=)": (lambda w: lrp.Session(w.model, w.x, tgt=1), TypeError, "'tgt'"),  # pyright: ignore
    "relevance(tgt=)": (lambda w: w.session.relevance(tgt=1), TypeError, "'tgt'"),
    "coverage(tgt=)": (lambda w: lrp.coverage(w.model, w.x, tgt=1), TypeError, "'tgt'"),  # pyright: ignore
    "aggregate(tgt=)": (lambda w: w.aggregate(tgt=1), TypeError, "'tgt'"),
    "load_model(wts=)": (lambda w: lrp.load_model("digits-mlp", wts=1), TypeError, "'wts'"),  # pyright: ignore
    "load_dataset(part=)": (lambda w: lrp.load_dataset("digits", part=1), TypeError, "'part'"),  # pyright: ignore
    "Epsilon(eps=)": (lambda w: rules.Epsilon(eps=1), TypeError, "'eps'"),  # pyright: ignore
    "EpsilonPlus(eps=)": (lambda w: composites.EpsilonPlus(eps=1), TypeError, "'eps'"),  # pyright: ignore
    "Boolean(threshold=)": (lambda w: semirings.Boolean(threshold=1), TypeError, "'threshold'"),  # pyright: ignore
    "relevance.input=": (lambda w: setattr(w.plain, "input", 1), AttributeError, "input"),
    "relevance.target=": (lambda w: setattr(w.plain, "target", 1), AttributeError, "target"),
}
