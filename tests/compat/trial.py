"""One model of another library explained, and all that must hold of it; an error of the house counts as clear."""

from __future__ import annotations

import copy
import time
import traceback
import warnings
from typing import Any

import torch
from compat.members import build, known
from torch import Tensor, nn

import lrp_explorer as lrp
from lrp_explorer.errors import LrpError
from lrp_explorer.results import Relevance

COMPOSITES = ("epsilon-plus-flat", "uniform")
# Of float32, over a hundred layers; of the largest logit, and of the largest sum of relevance on the way.
LOGITS, LEDGER = 1e-4, 1e-3


def trial(library: str, member: str) -> dict[str, Any]:
    """Explain a model that was never run before, and tell what came of it.

    Returns
    -------
    dict
        ``verdict``: "works", "clear error", "unclear error", "crash", "wrong", "cannot be built" or "absent" (from the
        installed release of the library); ``detail``.
    """
    torch.set_num_threads(1)
    begin = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if not known(library, member):
            return {"verdict": "absent", "detail": ""}
        try:
            model, x = build(library, member)
            with torch.no_grad():
                expected = _twin(model, library, member)(x)
        except Exception as error:
            return {"verdict": "cannot be built", "detail": _line(error)}
        row = {"parameters": sum(p.numel() for p in model.parameters()), "input": list(x.shape[1:])}
        before = state(model)
        try:
            faults = [f for name in COMPOSITES for f in _explained(model, x, expected, name)]
        except LrpError as error:
            clear = len(str(error)) > 40 and not _vague(str(error))
            row |= {"verdict": "clear error" if clear else "unclear error", "detail": _line(error)}
            faults = []
        except Exception as error:
            row |= {"verdict": "crash", "detail": _line(error), "trace": traceback.format_exc()[-3000:]}
            faults = []
        changed = differences(before, state(model))
        faults += [f"the model was changed: {', '.join(changed[:4])}"] if changed else []
        if faults:
            row |= {"verdict": "wrong", "detail": "; ".join([*filter(None, [row.get("detail")]), *faults])}
    return {"verdict": "works", "detail": ""} | row | {"seconds": round(time.perf_counter() - begin, 1)}


def _twin(model: nn.Module, library: str, member: str) -> nn.Module:
    """The same model over again, so that the one explained was never run."""
    try:
        return copy.deepcopy(model)
    except RuntimeError:
        return build(library, member)[0]


def _explained(model: nn.Module, x: Tensor, expected: Tensor, composite: str) -> list[str]:
    relevance = lrp.explain(model, x, composite=composite, device="cpu")
    faults = []
    scale = float(expected.abs().max()) or 1.0
    error = float((relevance.logits - expected).abs().max()) / scale
    if not error <= LOGITS:
        faults.append(f"{composite}: logits differ by {error:.1e} of the largest")
    if not bool(relevance.input.isfinite().all()):
        faults.append(f"{composite}: relevance is not finite")
    # By z⁺ alone, a layer whose contributions are all negative hands nothing on.
    if composite == "uniform" and not bool(relevance.input.any()):
        faults.append(f"{composite}: all relevance of the input is 0")
    return faults + [f"{composite}: {fault}" for fault in _ledger(relevance)]


def _ledger(relevance: Relevance) -> list[str]:
    """What was put in at the output is found at the input, or is booked at a layer."""
    rows = list(relevance.ledger)
    largest = max([abs(row.relevance_in) for row in rows] + [row.magnitude for row in rows] + [1e-30])
    faults = [
        f"the row of {row.layer!r} does not add up"
        for row in rows
        if abs(row.relevance_in - row.relevance_out - row.to_bias - row.to_epsilon - row.other) > LEDGER * largest
    ]
    lost = sum(row.to_bias + row.to_epsilon + row.other for row in rows)
    missing = float(relevance.start.double().sum() - relevance.input.double().sum()) - lost
    if not abs(missing) <= LEDGER * largest:
        faults.append(f"{missing:.2g} of {largest:.2g} is not accounted for")
    return faults[:3]


def state(model: nn.Module) -> dict[str, Any]:
    """What a model is: values of all tensors, names of everything else that it holds."""
    found: dict[str, Any] = {}
    for name, module in model.named_modules():
        found[f"{name}:mode"] = module.training
        for kind in ("_parameters", "_buffers"):
            for key, tensor in getattr(module, kind).items():
                found[f"{name}.{key}"] = None if tensor is None else (id(tensor), type(tensor), tensor.clone())
        for key, value in vars(module).items():
            if key not in ("_parameters", "_buffers", "_modules"):
                found[f"{name}:{key}"] = _held(value)
    return found


def differences(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """Names of what is not as it was."""
    return [
        name
        for name in dict.fromkeys([*before, *after])
        if name not in before or name not in after or not _same(before[name], after[name])
    ]


def _held(value: Any) -> Any:
    """An attribute: plain values as they are, containers by what is in them, all else by identity."""
    if isinstance(value, (int, float, str, bool, type(None))):
        return value
    if isinstance(value, (tuple, list)):
        return [type(value).__name__, *map(_held, value)]
    if isinstance(value, dict):
        return {str(key): _held(item) for key, item in value.items()}
    return id(value)


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, tuple) and len(one) == 3 and isinstance(other, tuple) and len(other) == 3:
        return one[:2] == other[:2] and torch.equal(one[2], other[2])
    return one == other


def _vague(message: str) -> bool:
    """Whether a message passes on an error of the exporter that only its makers understand."""
    return (
        "Please use torch._logging" in message or "fake tensor" in message.lower() or "GuardOnDataDependent" in message
    )


def _line(error: BaseException) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"
