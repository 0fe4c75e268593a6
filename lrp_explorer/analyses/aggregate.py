"""Class-wise masks of a data set: they show what a model relies on for a class."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm.auto import tqdm

from lrp_explorer import semirings
from lrp_explorer.analyses import store
from lrp_explorer.analyses.base import Layout
from lrp_explorer.analyses.choosing import Question
from lrp_explorer.analyses.job import Job
from lrp_explorer.analyses.masks import Masks
from lrp_explorer.analyses.reductions import accumulators, parse
from lrp_explorer.analyses.relevant import Criterion, checked_theta
from lrp_explorer.analyses.run import Run
from lrp_explorer.analyses.runners import Runner, chosen_runner
from lrp_explorer.analyses.selection import checked_limit
from lrp_explorer.analyses.sources import DataSource, ModelSource
from lrp_explorer.composites import Composite
from lrp_explorer.errors import InputError, unknown_name
from lrp_explorer.rules.base import check_callable, check_flag

TARGETS = ("label", "prediction")
REDUCE = ("and", "or", "min", "max", "mean")


def aggregate(
    model: Any,
    dataset: Any,
    classes: int | str | Iterable[int | str] | None = None,
    limit: int | None = None,
    layer: str | Sequence[str] = "input",
    reduce: str | Iterable[str] = REDUCE,
    composite: str | Composite = "epsilon-plus-flat",
    semiring: Any = "real",
    target: str = "label",
    only_correct: bool = False,
    seed: str = "logit",
    theta: float | None = None,
    batch: int | None = None,
    runner: str | Runner | Any = "serial",
    device: str = "auto",
    progress: bool = True,
    skip_nonfinite: bool = False,
    should_stop: Callable[[], bool] | None = None,
    on_update: Callable[[Run], None] | None = None,
    cache: bool | str | os.PathLike[str] | None = None,
    split: str = "test",
    weights: str | os.PathLike[str] | None = None,
) -> Masks:
    """Fold relevance over many examples of each class.

    Memory does not grow with the number of examples; what each reduction needs is told in
    `lrp_explorer.analyses.reductions`. Neither order nor runner change the result: examples are cut into batches and
    shards by the data alone, and merged in a fixed order. Relevance itself may differ in the last bits of float32 from
    one batch size, number of threads or device to another, as PyTorch's products of matrices do.

    Parameters
    ----------
    model : nn.Module or str
        A classifier, or the name of one in the zoo.
    dataset : data set or str
        ``len(dataset)`` examples ``dataset[i]`` of (preprocessed tensor, int label), or the name of one in the zoo,
        preprocessed for the model. Examples with the label −1 belong to no class.
    classes : int, str, list of these, or None
        Classes by index or name. None: every class that has an example, and a last row ``"all"`` of all of them.
    limit : int, optional
        Examples of each class, the first ones in the order of the data set; None: all.
    layer : str or list of str
        Names as in `Relevance`; ``"input"`` by default.
    reduce : str or list of str
        ``"and"``, ``"or"``, ``"min"``, ``"max"``, ``"mean"``, ``"std"``, ``"count"``, ``"quantile(0.9)"``,
        ``"vote(0.5)"``; see `lrp_explorer.analyses.reductions`.
    composite, semiring, seed, device
        See `lrp_explorer.Session.relevance`. With ``"bottleneck"``, `Masks.at` gives AND, OR and votes for every θ.
    target : {"label", "prediction"}
        What an example's class is, and which class is explained for it.
    only_correct : bool
        Leave out examples that are not classified as labelled.
    theta : float, optional
        AND, OR, count and vote take a neuron for relevant when R ≥ θ; None: when R > 0 (`Tropical`, a cost: R ≤ θ;
        None: R < ∞). Boolean relevance is taken as it is.
    batch : int, optional
        Examples explained together; 256 of the size of MNIST by default, fewer of larger ones.
    runner : {"serial", "dask"}, Dask client or Runner
        ``"dask"`` starts a local cluster and closes it; see `lrp_explorer.analyses.runners`.
    progress : bool
        Show a progress bar.
    skip_nonfinite : bool
        Leave out examples that are, or whose relevance is, NaN or infinite; they are counted in ``masks.skipped``.
    should_stop : callable, optional
        Asked often; when it says True, the masks of what is done are returned, with ``masks.complete`` False.
    on_update : callable, optional
        Called about twice a second with the `Run`, whose `snapshot`, `progress` and `cancel` may be used.
    cache : bool or path, optional
        Keep finished masks on disk, in the usual cache folder (True) or in one of your own; and what is done of
        unfinished ones, every half minute and when interrupted: the same call goes on from there, to the same bits.
    split : str
        Of a data set by name.
    weights : path, optional
        Of a model by name: a checkpoint instead of the published weights.

    Returns
    -------
    Masks

    Raises
    ------
    InputError, UnknownNameError
        For anything out of range, and for a data set that does not fit the model.
    DataError
        For a class without examples, and for an example that is not finite or cannot be read; named by its index.
    NumericsError
        If relevance becomes NaN or infinite; the message names the example.
    Cancelled
        If `should_stop` says True before the first example is done.

    Examples
    --------
    >>> import lrp_explorer as lrp
    >>> from lrp_explorer.analyses.aggregate import aggregate
    >>> masks = aggregate("digits-mlp", "digits", limit=5, progress=False)
    >>> masks["mean"].shape, masks.classes[-2:], masks.counts[-2:]
    ((11, 1, 28, 28), (9, 'all'), (5, 50))
    """
    # All but two of the parameters are those of `prepare`, by the same names.
    given = {name: value for name, value in locals().items() if name not in ("progress", "on_update")}
    check_flag(progress, "progress")
    check_callable(on_update, "on_update")
    made = prepare(**given)
    with tqdm(disable=not progress, unit="example") as bar:
        made.listen(lambda run: _show(bar, run), every=0.1)
        if on_update is not None:
            made.listen(on_update)
        return made.run()


def _show(bar: Any, run: Run) -> None:
    now = run.progress
    if bar.total != now.total:
        bar.reset(now.total)
    bar.set_description({"choosing": "choosing examples"}.get(now.phase, "masks"), refresh=False)
    bar.update(now.done - bar.n)
    if now.phase in ("done", "cancelled"):
        bar.refresh()


def prepare(
    model: Any,
    dataset: Any,
    classes: int | str | Iterable[int | str] | None = None,
    limit: int | None = None,
    layer: str | Sequence[str] = "input",
    reduce: str | Iterable[str] = REDUCE,
    composite: str | Composite = "epsilon-plus-flat",
    semiring: Any = "real",
    target: str = "label",
    only_correct: bool = False,
    seed: str = "logit",
    theta: float | None = None,
    batch: int | None = None,
    runner: str | Runner | Any = "serial",
    device: str = "auto",
    skip_nonfinite: bool = False,
    should_stop: Callable[[], bool] | None = None,
    cache: bool | str | os.PathLike[str] | None = None,
    split: str = "test",
    weights: str | os.PathLike[str] | None = None,
) -> Run:
    """Check what is asked for, but load and compute nothing yet; parameters as for `aggregate`.

    Returns
    -------
    Run
        To be computed by `Run.run` or `Run.start`, watched, paused, cancelled and resumed.
    """
    check_flag(only_correct, "only_correct")
    check_flag(skip_nonfinite, "skip_nonfinite")
    check_callable(should_stop, "should_stop")
    algebra = semirings.build(semiring)
    if theta is not None and isinstance(algebra, semirings.Boolean):
        raise InputError("theta is for relevance in numbers; give Boolean relevance its own: Boolean(theta=…)")
    if target not in TARGETS:
        raise unknown_name("target", target, TARGETS)
    if batch is not None and (isinstance(batch, bool) or not isinstance(batch, (int, np.integer)) or batch < 1):
        raise InputError(f"batch is {batch!r}; expected a number of examples, at least 1, or None")
    if not isinstance(seed, str):
        raise InputError(f"seed is a {type(seed).__name__}; expected a name, as each example has a start of its own")
    criterion = Criterion(checked_theta(theta), cost=isinstance(algebra, semirings.Tropical))
    reductions = parse(reduce, criterion, everywhere=isinstance(algebra, semirings.Bottleneck))
    layers = (layer,) if isinstance(layer, str) or not isinstance(layer, Iterable) else tuple(layer)
    named = all(isinstance(one, str) for one in layers)
    if not named or not layers or len(set(layers)) < len(layers):
        raise InputError(f"layer is {layer!r}; expected names of layers, at least one, and each once")
    job = Job(
        ModelSource.of(model, weights), DataSource.of(dataset, split), Layout(layers, accumulators(reductions)),
        composite, algebra, seed, device, skip_nonfinite,
    )  # fmt: skip
    question = Question(
        classes, checked_limit(limit), target, bool(only_correct), None if batch is None else int(batch)
    )
    folder = store.folder(cache)
    settings = described(job, question, semiring)
    return Run(job, question, reductions, chosen_runner(runner), settings, folder, should_stop)


def described(job: Job, question: Question, semiring: Any) -> dict[str, Any]:
    """Tell how masks are computed, in plain values for a reader; the semiring as it was asked for."""
    overrides = getattr(job.composite, "overrides", ())
    return {
        "model": job.model.name,
        "weights": None if job.model.weights is None else Path(job.model.weights).name,
        "dataset": job.data.name,
        "split": job.data.split,
        "composite": str(job.composite),
        "overrides": {layer: str(rule) for layer, rule in overrides},
        "semiring": semiring if isinstance(semiring, str) else str(job.semiring),
        "seed": job.seed,
        "target": question.target,
        "only_correct": question.only_correct,
        "limit": question.limit,
        "batch": question.batch,
        "device": job.device,
        "versions": {"lrp_explorer": version("lrp-explorer"), "torch": str(torch.__version__)},
    }
