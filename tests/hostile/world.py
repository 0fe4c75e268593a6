"""What hostile calls are made on: one tiny model traced once, one session, its results, and files."""

from __future__ import annotations

import contextlib
import io
from collections import OrderedDict
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

import lrp_explorer as lrp
from lrp_explorer import cli


class World:
    """A classifier of five classes for pictures of ``(3, 8, 8)``, and all that is made from it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        torch.manual_seed(0)
        features = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(2))
        layers = [("features", features), ("flat", nn.Flatten()), ("head", nn.Linear(16, 5))]
        self.model = nn.Sequential(OrderedDict(layers)).eval()
        self.x = torch.randn(2, 3, 8, 8)
        self.session = lrp.Session(self.model, self.x, device="cpu")
        self.plain = self.session.relevance()

    @cached_property
    def paths(self) -> Any:
        return self.session.relevance(semiring="bottleneck")

    @cached_property
    def boolean(self) -> Any:
        return self.session.relevance(semiring="boolean")

    @cached_property
    def data(self) -> list[tuple[Tensor, int]]:
        return [(x, i % 5) for i, x in enumerate(torch.randn(10, 3, 8, 8))]

    @cached_property
    def masks(self) -> Any:
        return self.aggregate(reduce=["and", "or", "mean"], semiring="bottleneck")

    def explain(self, x: Any = None, model: Any = None, **settings: Any) -> Any:
        return lrp.explain(
            self.model if model is None else model, self.x if x is None else x, **{"device": "cpu"} | settings
        )

    def aggregate(self, data: Any = None, model: Any = None, **settings: Any) -> Any:
        given = {"device": "cpu", "progress": False, "limit": 1} | settings
        return lrp.aggregate(self.model if model is None else model, self.data if data is None else data, **given)

    def shell(self, *argv: str) -> str:
        """Run the command line in this process; what it says, where it ends with an error; `RuntimeError` otherwise."""
        said = io.StringIO()
        with contextlib.redirect_stderr(said), contextlib.redirect_stdout(io.StringIO()):
            try:
                code = cli.main(argv)
            except SystemExit as end:
                code = end.code
        if code != 2 or len(said.getvalue().strip().splitlines()) != 1:
            raise RuntimeError(f"ended with {code}, and said {said.getvalue()!r}")
        return said.getvalue()

    def file(self, name: str, content: bytes = b"") -> str:
        """Write a file, and give its path."""
        path = self.folder / name
        path.write_bytes(content)
        return str(path)

    def picture(self, name: str = "picture.png", size: tuple[int, int] = (8, 8)) -> str:
        from PIL import Image

        Image.fromarray(np.arange(size[0] * size[1], dtype=np.uint8).reshape(size)).save(self.folder / name)
        return str(self.folder / name)
