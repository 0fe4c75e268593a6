"""The table of docs/compatibility.md."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def written(rows: Mapping[str, Mapping[str, Any]]) -> str:
    return ""
