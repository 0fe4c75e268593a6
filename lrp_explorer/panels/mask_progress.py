"""How far a run of masks is, in words."""

from __future__ import annotations

from lrp_explorer.analyses.progress import Progress


def progress_line(progress: Progress | None, fresh: bool = True) -> str:
    """Say how far a run is: examples done, rate, time left; as markup.

    Parameters
    ----------
    progress : Progress or None
        None while nothing was asked for.
    fresh : bool
        Whether the run is the one that the controls ask for.
    """
    if progress is None:
        return '<p class="lrp-fact">not computed yet</p>'
    done, total = progress.done, progress.total
    old = "" if fresh else '<p class="lrp-hint">choices have changed: compute anew</p>'
    bar = f'<progress value="{done}" max="{max(total, 1)}" aria-label="examples done"></progress>'
    return f'{bar}<p class="lrp-fact">{_words(progress)}</p>{old}'


def _words(progress: Progress) -> str:
    done, total = progress.done, progress.total
    of = f"<b>{done}</b> of {total} examples"
    rate = f" · {progress.rate:.{0 if progress.rate >= 10 else 1}f}/s" if progress.rate else ""
    left = f" · {span(progress.seconds_left)} left" if progress.seconds_left and done < total else ""
    return {
        "waiting": "opening model and data …",
        "choosing": "choosing examples …",
        "folding": f"{of}{rate}{left}",
        "paused": f"paused: {of}",
        "cancelled": f"cancelled: {of}",
        "done": f"done, from the cache: {of}" if progress.cached else f"done: {of}{rate}",
        "failed": "failed",
    }[progress.phase]


def span(seconds: float) -> str:
    """Write a length of time for a reader."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
