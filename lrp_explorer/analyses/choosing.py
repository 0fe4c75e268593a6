"""Which examples answer a question: from labels alone, or from the model's predictions."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from lrp_explorer import zoo
from lrp_explorer.analyses.control import Control
from lrp_explorer.analyses.job import Job
from lrp_explorer.analyses.masks import Rows
from lrp_explorer.analyses.runners import Runner
from lrp_explorer.analyses.selection import Chooser, Shard, batch_size, checked_classes, interleaved, shards
from lrp_explorer.analyses.sources import class_names, labels, read


@dataclass(frozen=True)
class Question:
    """Which examples are folded, and into which class.

    Attributes
    ----------
    classes : int, str, iterable of these, or None
        As the user gave them; see `lrp_explorer.analyses.aggregate.aggregate`.
    limit : int or None
        Examples of each class.
    target : {"label", "prediction"}
        What an example's class is; it is the class that is explained, too.
    only_correct : bool
        Leave out examples whose prediction is not their label.
    batch : int or None
        Examples explained together.
    """

    classes: Any
    limit: int | None
    target: str
    only_correct: bool
    batch: int | None

    @property
    def predicts(self) -> bool:
        """Whether the answer depends on the model's predictions."""
        return self.only_correct or self.target == "prediction"


@dataclass(frozen=True)
class Choice:
    """The examples that were chosen.

    Attributes
    ----------
    rows : Rows
        Of the masks.
    shards : list of Shard
        The work.
    skipped : tuple of int
        Examples whose prediction is not finite.
    """

    rows: Rows
    shards: list[Shard]
    skipped: tuple[int, ...]

    @property
    def total(self) -> int:
        """Number of examples to fold."""
        return sum(map(len, self.shards))


def choose(job: Job, question: Question, runner: Runner, control: Control) -> Choice:
    """Choose examples: of each class the first `limit` in the order of the data set.

    Raises
    ------
    DataError
        If a class has no example.
    """
    loaded = job.loaded()
    batch = question.batch or batch_size(read(loaded.data, [0])[0][0].shape)
    skipped: list[int] = []
    names = class_names(loaded.data)
    wanted = checked_classes(question.classes, names)
    # A model may predict classes that the data set has no name for.
    chooser = Chooser(wanted, question.limit, 0 if question.target == "prediction" else len(names))
    if question.predicts:
        for index, one in _predicted(job, question, wanted, runner, control, batch, skipped):
            if chooser.full:
                break
            chooser.offer(index, one)
    else:
        chooser.offer_all(labels(loaded.data, control.check))
    rows = chooser.rows(skipped)
    ids, classes = interleaved(rows, batch)
    return Choice(
        Rows(
            classes=tuple(rows),
            names=tuple(names[one] if one < len(names) else str(one) for one in rows),
            planned=tuple(len(found) for found in rows.values()),
            pooled=question.classes is None,
        ),
        shards(ids, classes, batch),
        tuple(skipped),
    )


def _predicted(
    job: Job,
    question: Question,
    wanted: tuple[int, ...] | None,
    runner: Runner,
    control: Control,
    batch: int,
    skipped: list[int],
) -> Iterator[tuple[int, int]]:
    """Give index and predicted class of one example after the other."""
    data = job.loaded().data
    needs_labels = question.target == "label" or question.only_correct
    own = labels(data, control.check) if needs_labels else None
    ids = [index for index in range(len(data)) if own is None or _possible(own[index], wanted)]
    pieces = shards(ids, [0] * len(ids), batch)
    control.looked = 0, len(ids)
    for piece, (found, left_out) in zip(pieces, runner.map(job, "predict", pieces, control), strict=False):
        control.looked = control.looked[0] + len(piece), len(ids)
        skipped += left_out
        for index, predicted in found:
            if not question.only_correct or (own is not None and own[index] == predicted):
                yield index, predicted


def _possible(label: int, wanted: tuple[int, ...] | None) -> bool:
    return label != zoo.UNLABELLED if wanted is None else label in wanted
