"""Explore Layer-wise Relevance Propagation (LRP) live.

The floors; imports go downwards only::

    cli, app     the shell command and the page it serves
    panels       FLOOR 4  ipywidgets: state, panes, one file per panel
    figures      FLOOR 3  plotly: results in, figures out
    analyses     FLOOR 3  questions put to relevance
    baselines    FLOOR 2  what LRP is compared with: gradients, Grad-CAM, Taylor
    engine       FLOOR 2  one recorded forward, a walk back, what is kept
    zoo          FLOOR 2  what is explained: models and data sets
    semirings    FLOOR 1  how contributions add up along paths
    composites   FLOOR 1  which rule serves which layer
    rules        FLOOR 1  what contributes, as data
    graph        FLOOR 0  the model as a readable graph
    own_data     FLOOR 0  data as its user has it: tensors, arrays, loaders, pictures, labels
    results, registry, writing, errors   GROUND

The front door: `explain`, `Session`, `coverage`, `attribute`, `aggregate`, `explore`, `load_model`, `load_dataset`,
`models`, `datasets`, and the rooms `rules`, `composites` and `semirings`. Names are loaded when they are first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lrp_explorer import composites, rules, semirings
    from lrp_explorer.analyses import Masks, aggregate
    from lrp_explorer.baselines import attribute
    from lrp_explorer.engine import Session, coverage, explain
    from lrp_explorer.panels.explorer import explore
    from lrp_explorer.zoo import datasets, load_dataset, load_model, models

__version__ = "0.1.0"

_HOME = {
    "Masks": "analyses",
    "Session": "engine",
    "aggregate": "analyses",
    "attribute": "baselines",
    "coverage": "engine",
    "explain": "engine",
    "explore": "panels.explorer",
    "datasets": "zoo",
    "load_dataset": "zoo",
    "load_model": "zoo",
    "models": "zoo",
    "composites": "",
    "rules": "",
    "semirings": "",
}

__all__ = [
    "Masks",
    "Session",
    "aggregate",
    "attribute",
    "composites",
    "coverage",
    "datasets",
    "explain",
    "explore",
    "load_dataset",
    "load_model",
    "models",
    "rules",
    "semirings",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}; it has {', '.join(__all__)}")
    home = _HOME[name]
    found = getattr(import_module(f"{__name__}.{home}"), name) if home else import_module(f"{__name__}.{name}")
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
