"""Write the page docs/compatibility.md from what sweeps have kept.

    python tests/compat/table.py compatibility.json older.json > docs/compatibility.md

A model found in several files under one release of its library is told as the last of them has it.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from compat.members import FAINT, TIMM
from compat.trial import LEDGER, LOGITS

LONGEST = 400
LIBRARIES = ("timm", "transformers", "braindecode")
RESULTS = {
    "works": "works",
    "clear error": "clear error",
    "unclear error": "error that says too little",
    "wrong": "wrong",
    "crash": "error of Python",
    "too slow": "too slow",
    "cannot be built": "not built",
}
HEAD = """\
# Which models of other libraries work

One model of each of {timm} families of timm, {transformers} image classifiers of transformers and {braindecode} \
networks of braindecode were tried as their library builds them, small where it lets them be small, with random \
weights, so nothing is downloaded (those of transformers and of timm's {faint} drawn anew, of a size that lets no \
values vanish). Each was explained by `epsilon-plus-flat` and by `uniform`, two examples at once, in float32 on the \
CPU, by PyTorch {torch}. It *works* if under both:

- the logits are those of the model itself, to {logits:g} of the largest;
- the model is to the bit as before: parameters, buffers, modes and all other attributes of its modules;
- the relevance of the input is finite, and by `uniform` not 0 everywhere;
- the ledger adds up, layer by layer and as a whole, to {ledger:g} of the largest sum in it.

An error is *clear* if it is one of `lrp_explorer.errors` and passes on nothing of PyTorch's exporter that only its \
makers understand; it is given here by its first line. What the relevance says of a model is not checked here: \
[exactness.md](exactness.md) tells how the rules are. The classifiers of transformers answer with a record, and were \
wrapped in a module that returns its `logits`.

```
pip install -e ".[test,compat]"
python tests/compat/sweep.py --json results.json
python tests/compat/table.py results.json > docs/compatibility.md
```

That takes about half an hour; `python tests/compat/sweep.py timm:resnet` tries one. The settings that each model was \
built with stand in `tests/compat/members.py`.
"""

Row = dict[str, Any]


def main() -> None:
    """Read the files given, and print the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("kept", nargs="+", type=Path, help="what sweeps have written")
    print(page(merged(json.loads(path.read_text()) for path in parser.parse_args().kept)), end="")


def merged(kept: Iterable[Mapping[str, Mapping[str, Any]]]) -> list[Row]:
    """Give all rows in the order met, each with its library and the model's name."""
    found: dict[tuple[str, str, str], Row] = {}
    for rows in kept:
        for key, row in rows.items():
            library, member = key.split(":")
            found[library, row["version"], member] = {"library": library, "member": member, **row}
    return list(found.values())


def page(rows: list[Row]) -> str:
    """Write the page: what was checked, how many work, and all of them by library."""
    torch = " and ".join(dict.fromkeys(row["torch"] for row in rows))
    tried = {library: len({row["member"] for row in rows if row["library"] == library}) for library in LIBRARIES}
    parts = [HEAD.format(torch=torch, logits=LOGITS, ledger=LEDGER, faint=" and ".join(FAINT), **tried)]
    releases = list(dict.fromkeys((row["library"], row["version"]) for row in rows))
    own = {release: [row for row in rows if (row["library"], row["version"]) == release] for release in releases}
    parts.append("\n".join(f"- **{' '.join(release)}**: {_counted(own[release])}" for release in releases) + "\n")
    parts += [_table(" ".join(release), own[release]) for release in releases]
    return "\n".join(parts)


def _counted(rows: list[Row]) -> str:
    counts = Counter(row["verdict"] for row in rows)
    told = ", ".join(f"{words} {counts[verdict]}" for verdict, words in RESULTS.items() if counts[verdict])
    return f"{len(rows)} tried: {told}"


def _table(title: str, rows: list[Row]) -> str:
    lines = [f"## {title}", "", "| model | parameters | result |", "|---|---|---|"]
    for row in rows:
        parameters = f"{row['parameters']:,}".replace(",", " ") if "parameters" in row else "–"
        result = RESULTS[row["verdict"]] + (f": {_shortened(row['detail'])}" if row["detail"] else "")
        lines.append(f"| {_name(row)} | {parameters} | {result} |")
    return "\n".join([*lines, ""])


def _name(row: Row) -> str:
    if row["library"] == "timm":
        return f"{row['member']}: `{TIMM[row['member']][0]}`"
    return f"`{row['member']}{'ForImageClassification' if row['library'] == 'transformers' else ''}`"


def _shortened(detail: str) -> str:
    """Give the first line of an error, with files as their library has them, fit for a table."""
    text = re.sub(r"\S*/site-packages/", "", detail)
    text = re.split(r"[.;] (?=[A-Za-z])", text)[0].replace("|", r"\|")
    return text if len(text) <= LONGEST else f"{text[:LONGEST].rsplit(' ', 1)[0]} …"


if __name__ == "__main__":
    main()
