"""What is asked of the input, the target and the model before anything is computed."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from lrp_explorer import own_data
from lrp_explorer.engine.devices import own_arithmetic
from lrp_explorer.engine.memory import exhausted
from lrp_explorer.errors import InputError, LrpError, ModelError, unknown_name
from lrp_explorer.graph import Graph, trace
from lrp_explorer.graph.export import in_evaluation
from lrp_explorer.graph.stand_in import StandIn, copied
from lrp_explorer.graph.surroundings import put_back
from lrp_explorer.results import probabilities

SEEDS = ("logit", "one", "contrast", "probability")


def check_model(model: object) -> nn.Module:
    """Return the model, or raise `ModelError` if it is none that can be read."""
    if isinstance(model, torch.export.ExportedProgram):
        raise ModelError(
            "the model is an ExportedProgram, but a torch.nn.Module is expected; pass program.module(). It takes "
            "batches of the size that it was exported with, or of any where its batch axis was left dynamic"
        )
    if not isinstance(model, nn.Module):
        raise ModelError(f"the model is a {type(model).__name__}, but a torch.nn.Module is expected")
    for name, part in model.named_modules():
        if isinstance(part, torch.jit.ScriptModule):
            where = f"the model's part {name!r} is" if name else "the model is"
            raise ModelError(
                f"{where} TorchScript ({type(part).__name__}), which has no Python code to be read; expected the "
                "torch.nn.Module that it was made of. Build that, and give it the weights: "
                "module.load_state_dict(scripted.state_dict())"
            )
        weights = (*part._parameters.items(), *part._buffers.items())
        lazy = next((own for own, tensor in weights if tensor is not None and is_lazy(tensor)), None)
        if lazy is not None:
            raise ModelError(
                f"the model's layer {name!r} ({type(part).__name__}) has no {lazy} yet: its size is found at the first "
                "call. Run the model once first: model(x)"
            )
    return model


def check_input(model: nn.Module, x: object) -> Tensor:
    """Return `x` if a model may take it: a finite floating-point batch. Whether this one does is seen in `taking`.

    What is no tensor is read as `lrp_explorer.own_data` reads it.

    Raises
    ------
    InputError
        Names the value at fault and what to do.
    """
    x = own_data.batch(x, model)
    if x.is_nested:
        raise InputError(
            "x is a nested tensor, but examples of one shape are expected; pad it by x.to_padded_tensor(0)"
        )
    if x.dim() < 2:
        raise InputError(
            f"x has shape {tuple(x.shape)}, but (batch, ...) is expected; add a batch axis by x.unsqueeze(0)"
        )
    if x.device.type == "meta":
        raise InputError("x is on the device 'meta', where there are no values; expected a tensor with values")
    if x.layout != torch.strided:
        raise InputError(f"x has the layout {x.layout}, but a dense tensor is expected; use x.to_dense()")
    if x.shape[0] == 0 or x.numel() == 0:
        raise InputError(f"x has shape {tuple(x.shape)}: the batch is empty, at least one example is expected")
    if not x.dtype.is_floating_point:
        raise InputError(f"x has dtype {x.dtype}, but floating point is expected; {_as_floats(model)}")
    if not all_finite(x):
        finite = torch.isfinite(x)
        where = tuple((~finite).nonzero()[0].tolist())
        raise InputError(
            f"x is not finite: {int((~finite).sum())} of {x.numel()} values are NaN or infinite, "
            f"the first at index {where}; finite numbers are expected"
        )
    return x.detach()


def _as_floats(model: nn.Module) -> str:
    """Say how to come from integers to numbers that relevance can be given to."""
    table = next((name for name, part in model.named_modules() if isinstance(part, nn.Embedding)), None)
    if table is None:
        return "convert it, e.g. by x.float() / 255"
    name = repr(table)
    return (
        f"if x are token ids, explain from the embeddings: wrap the model in a module whose forward() starts behind "
        f"{name}, and pass model.get_submodule({name})(x).detach(); the relevance of a token is the sum over its "
        "embedding's axis"
    )


def all_finite(values: Tensor) -> bool:
    """Whether no value is NaN or infinite."""
    # One sum is a tenth of the work; each value is looked at only where it says no, or has overflowed.
    return bool(torch.isfinite(values.sum())) or bool(torch.isfinite(values).all())


@contextmanager
def taking(model: nn.Module, x: Tensor) -> Iterator[None]:
    """Where the model's operations do not take `x` because of its dtype, say that.

    Which dtype that is only they can tell: a model may cast its input, or compute in several.

    Raises
    ------
    InputError
        Names both dtypes.
    """
    try:
        yield
    except LrpError:
        raise
    except (RuntimeError, TypeError, ValueError) as error:
        dtypes = list(dict.fromkeys(p.dtype for p in model.parameters() if p.dtype.is_floating_point))
        if dtypes in ([], [x.dtype]) or exhausted(error):
            raise
        others = [str(dtype) for dtype in dtypes if dtype != x.dtype]
        raise InputError(
            f"x has dtype {x.dtype}, but the model's weights have {' and '.join(map(str, dtypes))}, and do not take it "
            f"({next(iter(str(error).splitlines()), type(error).__name__)}); "
            f"use {' or '.join(f'x.to({dtype})' for dtype in others)}, or model.to({x.dtype})"
        ) from error


def check_logits(logits: object) -> Tensor:
    """Return the model's output if it is ``(batch, classes)``."""
    if not isinstance(logits, Tensor) or logits.dim() != 2:
        shape = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
        raise ModelError(
            f"the model's output is {shape}, but (batch, classes) is expected; wrap the model so that it returns "
            "one score for each class, e.g. by a mean over the other axes"
        )
    if logits.shape[1] == 0:
        raise ModelError(f"the model's output is {tuple(logits.shape)}, but at least one class is expected")
    return logits


def check_target(target: Any, logits: Tensor) -> Tensor:
    """Return the class to explain for every example ``(batch,)``; None stands for the predicted one."""
    batch, classes = logits.shape
    if target is None:
        return logits.argmax(1)
    try:
        indices = torch.as_tensor(target, device=logits.device)
    except (TypeError, ValueError, RuntimeError):
        indices = None
    if indices is None or isinstance(target, (bool, float, complex)):
        raise InputError(f"target is {target!r}, but None, a class index or one index per example is expected")
    if indices.numel() == 0:
        raise InputError(f"target is {target!r}, which is empty, but one class or ({batch},) classes are expected")
    if indices.dtype.is_floating_point or indices.dtype.is_complex or indices.dtype == torch.bool:
        raise InputError(f"target has dtype {indices.dtype}, but integer class indices are expected")
    if indices.dim() == 0:
        indices = indices.expand(batch)
    if indices.shape != (batch,):
        raise InputError(f"target has shape {tuple(indices.shape)}, but one class or ({batch},) classes are expected")
    wrong = (indices < 0) | (indices >= classes)
    if bool(wrong.any()):
        raise InputError(f"target {int(indices[wrong][0])} is out of range: the model has classes 0 to {classes - 1}")
    return indices.long()


def start_relevance(seed: str | Tensor, logits: Tensor, target: Tensor) -> Tensor:
    """Relevance put in at the output ``(batch, classes)``.

    ``"logit"``: the target's logit; ``"one"``: 1; ``"probability"``: its probability, the softmax or, of a single
    logit, the sigmoid; ``"contrast"``: its logit, and minus the best other logit at that other class; a tensor is taken
    as it is.
    """
    if isinstance(seed, Tensor):
        if seed.shape != logits.shape:
            raise InputError(
                f"seed has shape {tuple(seed.shape)}, but {tuple(logits.shape)} (batch, classes) is expected"
            )
        if seed.is_complex() or seed.dtype == torch.bool:
            raise InputError(f"seed has dtype {seed.dtype}, but real numbers are expected, one for each output")
        if seed.layout != torch.strided or seed.is_meta:
            raise InputError(
                f"seed is on device '{seed.device}' in layout {seed.layout}, but a dense tensor with values is expected"
            )
        start = seed.detach().to(logits, copy=True)
        wrong = ~torch.isfinite(start).to(seed.device)
        if bool(wrong.any()):
            bad = seed[wrong][0].item()
            beyond = f" within the range of {logits.dtype}" if math.isfinite(bad) else ""
            raise InputError(f"seed holds {bad:g}, but finite numbers{beyond} are expected")
        return start
    if not isinstance(seed, str):
        raise InputError(
            f"seed is {seed!r} ({type(seed).__name__}), but one of {', '.join(SEEDS)} or a (batch, classes) tensor is "
            "expected"
        )
    if seed not in SEEDS:
        raise unknown_name("seed", seed, SEEDS, "A (batch, classes) tensor is accepted too.")
    column = target[:, None]
    start = torch.zeros_like(logits)
    own = logits.gather(1, column)
    if seed == "one":
        return start.scatter_(1, column, 1.0)
    if seed == "probability":
        return start.scatter_(1, column, probabilities(logits).gather(1, column))
    start.scatter_(1, column, own)
    if seed == "contrast":
        if logits.shape[1] < 2:
            raise InputError("seed 'contrast' needs at least two classes, but the model has one; use 'logit'")
        best = logits.scatter(1, column, -torch.inf).argmax(1, keepdim=True)
        start.scatter_(1, best, -logits.gather(1, best))
    return start


def traced(model: nn.Module, x: Tensor) -> Graph:
    """Trace, and if that fails because the model cannot take `x`, say that instead."""
    with own_arithmetic():
        try:
            graph = trace(model, x)
        except ModelError as refusal:
            # Others than the exporter's name their own cause.
            if refusal.__cause__ is not None:
                _explain_refusal(model, x)
            raise
    if graph.output not in graph.layers:
        raise ModelError(
            f"the output of {type(model).__name__} does not depend on its input: nothing can be explained. "
            "Scores that forward() computes from x are expected"
        )
    return graph


def _explain_refusal(model: nn.Module, x: Tensor) -> None:
    parameter = next(model.parameters(), x)
    gpus = [parameter.device] if parameter.device.type == "cuda" else []
    try:
        with put_back(model), own_arithmetic(), torch.no_grad(), torch.random.fork_rng(gpus), taking(model, x):
            standing = StandIn(model, copied)
            with standing.global_hooks(), in_evaluation(standing.model) as ready:
                ready(x.to(parameter.device, copy=True))
    except LrpError:
        raise
    except Exception as error:
        first = next(((n, m) for n, m in model.named_modules() if next(m.parameters(False), None) is not None), None)
        layer = f" Its first layer with weights is {first[0]!r}: {first[1]}." if first else ""
        layer = f" The first axis of x is the batch.{layer}"
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise InputError(
            f"{type(model).__name__} does not take x of shape {tuple(x.shape)}: {reason}.{layer}"
        ) from error
