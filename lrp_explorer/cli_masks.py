"""``lrp-explorer masks``: class-wise masks of a data set, written into a folder as numbers and as a picture."""

from __future__ import annotations

import argparse
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from lrp_explorer.errors import Cancelled, InputError

COMMAS = "separated by commas (default: %(default)s)"
OPTIONS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("model", {"help": "a name from: lrp-explorer list models"}),
    ("dataset", {"help": "a name from: lrp-explorer list datasets, or folder:PATH"}),
    ("--out", {"required": True, "help": "folder to write masks.safetensors, masks.json and pictures to"}),
    ("--classes", {"help": "names or indices, separated by commas (default: every class, and all together)"}),
    ("--limit", {"type": int, "metavar": "N", "help": "examples of each class (default: all)"}),
    ("--reduce", {"default": "and,or,min,max,mean", "help": f"{COMMAS}; also std, count, quantile(0.9), vote(0.5)"}),
    ("--layer", {"default": "input", "help": f"layers, {COMMAS}"}),
    ("--composite", {"default": "epsilon-plus-flat", "help": "rules by layer (default: %(default)s)"}),
    ("--semiring", {"default": "real", "help": "how contributions add up along paths (default: %(default)s)"}),
    ("--theta", {"type": float, "help": "threshold of edges (boolean, counting), or of relevance for and, or, count"}),
    (
        "--target",
        {"default": "label", "help": "class of an example: label or prediction (default: %(default)s)"},
    ),
    ("--only-correct", {"action": "store_true", "help": "only examples that are classified as labelled"}),
    ("--split", {"default": "test", "help": "train or test (default: %(default)s)"}),
    ("--weights", {"help": "a local checkpoint instead of the published weights"}),
    ("--batch", {"type": int, "metavar": "N", "help": "examples explained together (default: by their size)"}),
    ("--runner", {"default": "serial", "help": "serial or dask (default: %(default)s)"}),
    ("--skip-nonfinite", {"action": "store_true", "help": "leave out and count what is NaN or infinite"}),
    ("--cache", {"action": "store_true", "help": "keep the result in the cache folder, and look there first"}),
    ("--quiet", {"action": "store_true", "help": "no progress bar"}),
)


def add(commands: Any) -> argparse.ArgumentParser:
    """Describe the command and its options; gives its parser, to which the shared ``--device`` is added."""
    masks = commands.add_parser("masks", help="fold the relevance of many examples of each class into masks")
    for name, described in OPTIONS:
        masks.add_argument(name, **described)
    masks.set_defaults(run=run)
    return masks


def run(options: argparse.Namespace) -> None:
    """Compute the masks and write them."""
    folder = Path(options.out).expanduser()
    if folder.exists() and not folder.is_dir():
        raise InputError(f"--out is {options.out!r}, which is a file; expected a folder")
    # Before hours of computation, not after them.
    with _made(folder):
        try:
            masks = _computed(options)
        except Cancelled as error:
            print(f"lrp-explorer: {error}", file=sys.stderr)
            raise KeyboardInterrupt from error
        masks.save(folder / "masks.safetensors")
        for layer in masks.layers:
            _picture(masks, layer, folder)
        for note in masks.notes:
            print(note)
        print(f"{folder}: {masks!r}")
        if not masks.complete:
            raise KeyboardInterrupt


def _computed(options: argparse.Namespace) -> Any:
    from lrp_explorer.analyses.aggregate import aggregate

    semiring, theta = _semiring(options.semiring, options.theta)
    with _stopped_by_interrupt() as interrupted:
        return aggregate(
            options.model,
            options.dataset,
            classes=None if options.classes is None else _listed(options.classes),
            limit=options.limit,
            layer=_listed(options.layer),
            reduce=_listed(options.reduce),
            composite=options.composite,
            semiring=semiring,
            target=options.target,
            only_correct=options.only_correct,
            theta=theta,
            batch=options.batch,
            runner=options.runner,
            device=options.device,
            progress=not options.quiet,
            skip_nonfinite=options.skip_nonfinite,
            should_stop=interrupted.is_set,
            cache=options.cache,
            split=options.split,
            weights=options.weights,
        )


@contextmanager
def _made(folder: Path) -> Iterator[None]:
    """Make a folder; where nothing comes of it, what is still empty is removed again."""
    missing = [place for place in (folder, *folder.parents) if not place.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise InputError(f"--out is {str(folder)!r}, where no folder can be made ({reason}); choose another") from error
    try:
        yield
    except BaseException:
        with suppress(OSError):
            for place in missing:
                place.rmdir()
        raise


@contextmanager
def _stopped_by_interrupt() -> Iterator[threading.Event]:
    """Have the first Ctrl-C end the computation, so that what is done is written; a second one ends the program."""
    asked = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield asked
        return

    def stop(number: int, frame: Any) -> None:
        asked.set()
        signal.signal(signal.SIGINT, before)

    before = signal.signal(signal.SIGINT, stop)
    try:
        yield asked
    finally:
        signal.signal(signal.SIGINT, before)


def _picture(masks: Any, layer: str, folder: Path) -> None:
    import io

    from lrp_explorer.figures import mask_sheet
    from lrp_explorer.writing import write_together

    told = masks.settings
    title = f"{told['model']} · {told['dataset']} · {layer} · {told['composite']} · {told['semiring']}"
    drawn = mask_sheet.draw({r: masks[layer, r] for r in masks.reductions}, masks.names, masks.counts, title)
    stream = io.BytesIO()
    drawn.save(stream, "PNG", optimize=True)
    name = "masks.png" if len(masks.layers) == 1 else f"masks.{layer.replace('/', '_')}.png"
    write_together({folder / name: stream.getvalue()})


def _listed(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _semiring(name: str, theta: float | None) -> tuple[Any, float | None]:
    """Give a threshold to the semiring if its edges have one, else to the comparison of relevance."""
    from lrp_explorer import semirings

    kinds = {"boolean": semirings.Boolean, "counting": semirings.Counting}
    return (kinds[name](theta=theta), None) if theta is not None and name in kinds else (name, theta)
