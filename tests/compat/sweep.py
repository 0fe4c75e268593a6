"""Explain one model of every family of timm, transformers and braindecode, and keep what came of it.

    python tests/compat/sweep.py                      # all, into compatibility.json
    python tests/compat/sweep.py timm:resnet braindecode --json some.json
    python tests/compat/table.py compatibility.json   # the page docs/compatibility.md, on stdout

Each model runs in a process of its own, for two minutes of the processor at the most. Models that the installed
release of a library does not have are left out. Needs ``pip install 'lrp-explorer[test,compat]'``.
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

MEMBERS = {"timm": TIMM, "transformers": TRANSFORMERS, "braindecode": BRAINDECODE}
# Of the processor, for one model; and of the clock, for a machine that does other things beside.
SECONDS, PATIENCE = 120, 1200


def main() -> None:
    """Run what was asked for, one after the other."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("what", nargs="*", help="libraries, or library:family (default: all)")
    parser.add_argument("--json", type=Path, default=Path("compatibility.json"), help="results are kept here")
    options = parser.parse_args()
    rows: dict[str, Any] = json.loads(options.json.read_text()) if options.json.exists() else {}
    context = multiprocessing.get_context("forkserver")
    # Imports take longer than most models; each child starts with them done.
    context.set_forkserver_preload(["compat.trial", *MEMBERS])
    for library, members in MEMBERS.items():
        for member in members:
            key = f"{library}:{member}"
            if not options.what or library in options.what or key in options.what:
                row = _row(context, library, member) | {"version": version(library), "torch": version("torch")}
                print(f"{key:45} {row['verdict']:16} {row['detail'][:150]}", flush=True)
                rows.pop(key, None)
                if row["verdict"] != "absent":
                    rows[key] = row
                options.json.write_text(json.dumps(rows, indent=1))


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
