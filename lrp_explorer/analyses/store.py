"""Masks kept on disk under a key of everything that decides them."""

from __future__ import annotations

import hashlib
import os
import pickle
import warnings
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from lrp_explorer.analyses.choosing import Choice
from lrp_explorer.analyses.control import Control
from lrp_explorer.analyses.files import SUFFIX
from lrp_explorer.analyses.job import Job, Loaded
from lrp_explorer.analyses.masks import Masks
from lrp_explorer.analyses.reductions import Reduction
from lrp_explorer.analyses.selection import Batch
from lrp_explorer.engine.checks import traced
from lrp_explorer.engine.devices import pick_device
from lrp_explorer.errors import DataError, InputError
from lrp_explorer.graph import Graph
from lrp_explorer.zoo.downloads import cache_folder
from lrp_explorer.zoo.examples import ImageDataset, Pixels
from lrp_explorer.zoo.two_digits import DigitPairs

FOLDER = "masks"


def folder(cache: bool | str | os.PathLike[str] | None) -> Path | None:
    """Understand what the user gave: None or False for no cache, True for the usual folder, or a folder."""
    if cache is None or cache is False:
        return None
    if cache is not True and not isinstance(cache, (str, os.PathLike)):
        raise InputError(f"cache is {cache!r}; expected a folder, True for the usual one, or None for no cache")
    place = cache_folder() / FOLDER if cache is True else Path(cache).expanduser()
    try:
        place.mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise InputError(f"cache is {str(place)!r}, where no folder can be made ({reason}); choose another") from error
    return place


def get(place: Path, key: str) -> Masks | None:
    """Give the masks kept under a key; files that are damaged, or cannot be read, count as none, and are told of."""
    path = place / f"{key}{SUFFIX}"
    try:
        return Masks.load(path) if path.exists() else None
    except OSError as error:
        warnings.warn(
            f"the cache {str(place)!r} cannot be read ({error.strerror}): masks are computed anew",
            UserWarning,
            stacklevel=2,
        )
        return None
    except DataError as error:
        warnings.warn(f"cached masks are computed again: {error}", UserWarning, stacklevel=2)
        return None


def put(place: Path, key: str, masks: Masks) -> None:
    """Keep masks; a cache that cannot be written is no reason to lose the result, and is told of."""
    try:
        masks.save(place / f"{key}{SUFFIX}")
    except (DataError, InputError) as error:
        warnings.warn(f"the masks are not cached: {error}", UserWarning, stacklevel=2)


def key(
    job: Job, choice: Choice, reductions: Sequence[Reduction], target: str, threads: int, control: Control
) -> str | None:
    """Give a digest of everything that decides the masks, or None if not all of it can be known, which is told.

    That is: what the model computes and its weights, the content of the examples, which of them are folded in which
    batches and classes, layers, rules, semiring, reductions, seed, target, device, threads of PyTorch, and the versions
    of this package and PyTorch. A rule or semiring of the user's own has code that no digest sees.
    """
    try:
        settings = _plain((job.composite, job.semiring, job.seed))
    except _OwnCode as found:
        warnings.warn(
            f"the masks are not cached: {found} is not of this package, and a change of its code would go unnoticed",
            UserWarning,
            stacklevel=2,
        )
        return None
    digest = hashlib.sha256()
    loaded = job.loaded()
    example = loaded.read(choice.shards[0].batches[0])
    for part in (
        (version("lrp-explorer"), torch.__version__, str(pick_device(job.device, example)), threads),
        (settings, job.skip_nonfinite, target, choice, reductions, job.layout.layers),
        (getattr(loaded.model, "input_bounds", None), model_digest(loaded.model, traced(loaded.model, example))),
        data_digest(loaded, [batch for shard in choice.shards for batch in shard.batches], control),
    ):
        digest.update(repr(part).encode() + b"\n")
    return digest.hexdigest()


class _OwnCode(Exception):
    """A setting has code that this package does not know."""


def _plain(part: Any) -> Any:
    """Write a setting down in plain values, whose repr tells all of it."""
    if part is None or isinstance(part, (str, int, float, bool)):
        return part
    if isinstance(part, (tuple, list)):
        return [_plain(value) for value in part]
    if isinstance(part, Tensor):
        digest = hashlib.sha256()
        _add_tensor(digest, "", part)
        return digest.hexdigest()
    kind = type(part)
    if kind.__module__.split(".")[0] != __name__.split(".")[0]:
        raise _OwnCode(f"{kind.__module__}.{kind.__qualname__}")
    return kind.__qualname__, {name: _plain(value) for name, value in sorted(vars(part).items())}


def model_digest(model: nn.Module, graph: Graph) -> str:
    """Digest what a model computes, operation by operation, and every weight in it."""
    digest = hashlib.sha256()
    for node in graph:
        norms = [(norm.op, norm.args, sorted(norm.kwargs.items())) for norm in node.folded]
        said = (node.name, node.op, str(node.target), node.args, sorted(node.kwargs.items()), norms)
        digest.update(repr(said).encode() + b"\n")
    digest.update(repr((graph.output, sorted(graph.weights.items()), sorted(graph.aliases.items()))).encode())
    tensors = dict(model.named_parameters(remove_duplicate=False)) | dict(model.named_buffers(remove_duplicate=False))
    for name in sorted(set(graph.weights.values())):
        _add_tensor(digest, name, tensors[name])
    for name, constant in sorted(graph.constants.items()):
        _add_tensor(digest, name, constant)
    return digest.hexdigest()


def data_digest(loaded: Loaded, batches: Sequence[Batch], control: Control) -> str:
    """Digest the examples that are folded: pictures in memory at once, all others tensor by tensor."""
    data = loaded.data
    if type(data) is ImageDataset and type(data.examples) in (Pixels, DigitPairs):
        return hashlib.sha256(pickle.dumps(data)).hexdigest()
    digest = hashlib.sha256()
    for batch in batches:
        control.check()
        _add_tensor(digest, str(batch.ids), loaded.read(batch))
    return digest.hexdigest()


def _add_tensor(digest: Any, name: str, tensor: Tensor) -> None:
    values = tensor.detach().cpu().contiguous()
    digest.update(f"{name} {values.dtype} {tuple(values.shape)}\n".encode())
    digest.update(values.reshape(-1).view(torch.uint8).numpy().data)
