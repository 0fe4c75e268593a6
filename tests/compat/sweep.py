"""Explain one model of every family of timm, transformers and braindecode, and write the table of the docs.

    python tests/compat/sweep.py                      # all, into docs/compatibility.json and docs/compatibility.md
    python tests/compat/sweep.py timm:resnet braindecode

Each model runs in a process of its own, for two minutes at the most. Needs ``pip install 'lrp-explorer[compat]'``.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import resource
import signal
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from compat.members import BRAINDECODE, TIMM, TRANSFORMERS
from compat.table import written

MEMBERS = {"timm": TIMM, "transformers": TRANSFORMERS, "braindecode": BRAINDECODE}
# Of the processor, for one model; and of the clock, for a machine that does other things beside.
SECONDS, PATIENCE = 120, 1200


def main() -> None:
    """Run what was asked for, one after the other."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("what", nargs="*", help="libraries, or library:family (default: all)")
    parser.add_argument("--json", type=Path, default=Path("compatibility.json"), help="results are kept here")
    parser.add_argument("--table", type=Path, help="write the table of the docs here")
    options = parser.parse_args()
    rows: dict[str, Any] = json.loads(options.json.read_text()) if options.json.exists() else {}
    context = multiprocessing.get_context("forkserver")
    # Imports take longer than most models; each child starts with them done.
    context.set_forkserver_preload(["compat.trial", *MEMBERS])
    for library, members in MEMBERS.items():
        for member in members:
            key = f"{library}:{member}"
            if not options.what or library in options.what or key in options.what:
                rows[key] = _row(context, library, member) | {"version": version(library)}
                print(f"{key:45} {rows[key]['verdict']:16} {rows[key]['detail'][:150]}", flush=True)
                options.json.write_text(json.dumps(rows, indent=1))
    if options.table:
        options.table.write_text(written(rows), encoding="utf-8")


def _row(context: Any, library: str, member: str) -> dict[str, Any]:
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_tried, args=(theirs, library, member))
    process.start()
    theirs.close()
    try:
        if ours.poll(PATIENCE):
            return ours.recv()
        return {"verdict": "too slow", "detail": f"not done after {PATIENCE} s"}
    except EOFError:
        process.join()
        late = process.exitcode == -signal.SIGXCPU
        detail = f"not done after {SECONDS} s of the processor" if late else f"the process ended by {process.exitcode}"
        return {"verdict": "too slow" if late else "crash", "detail": detail}
    finally:
        process.kill()
        process.join()


def _tried(pipe: Any, library: str, member: str) -> None:
    from compat.trial import trial

    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS + 5))
    pipe.send(trial(library, member))


if __name__ == "__main__":
    main()
