"""One explanation of one image file, and how it is written: as a picture, as a page, as numbers."""

from __future__ import annotations

import hashlib
import html
import io
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from lrp_explorer import __version__, composites, zoo
from lrp_explorer.engine import Session
from lrp_explorer.errors import InputError, unknown_name
from lrp_explorer.figures import heatmap, sheet, theme
from lrp_explorer.results import Relevance
from lrp_explorer.writing import write_together

SUFFIXES = (".png", ".html", ".npz")


@dataclass(frozen=True)
class Explanation:
    """What was computed for one image, and from what.

    Attributes
    ----------
    picture : ndarray of uint8
        The image as the model saw it, `(height, width)` or `(height, width, 3)`.
    x : Tensor
        The preprocessed image, `(1, channels, height, width)`.
    relevance : Relevance
        Of every layer, a batch of one.
    title : str
        Class, logit and probability in words.
    settings : dict
        All that is needed to compute it again; plain values.
    """

    picture: np.ndarray
    x: torch.Tensor
    relevance: Relevance
    title: str
    settings: dict[str, Any]

    @property
    def heat(self) -> np.ndarray:
        """Relevance of the input, channels summed, `(height, width)`."""
        return self.relevance.input[0].sum(0, dtype=torch.float64).cpu().numpy()


def explain(
    image: str, model: str, weights: str | None, composite: str, target: str | None, device: str, stretch: bool = False
) -> Explanation:
    """Explain an image file.

    Parameters
    ----------
    image : str
        Path of the image.
    model, composite : str
        Names from the zoo and from `lrp_explorer.composites`.
    weights : str or None
        Path of a local checkpoint; None: the published weights.
    target : str or None
        Name or index of a class; None: the predicted one.
    device : str
        ``"auto"``, ``"cpu"``, ``"cuda"``, …
    stretch : bool
        As for `lrp_explorer.zoo.open_image`.

    Raises
    ------
    LrpError
        Whichever fits: an unknown name, an unsafe or foreign checkpoint, an image that cannot be opened.
    """
    # Wrong names and wrong files first, before weights are fetched and the network is traced.
    zoo.model_card(model)
    composites.get(composite)
    opened = zoo.open_image(image, stretch)
    network: Any = zoo.load_model(model, weights)
    card = network.card
    index = None if target is None else class_index(target, card.classes)
    x = card.preprocess(opened)[None]
    session = Session(network, x, device, memory=0)
    relevance = session.relevance(index, composite)
    chosen = int(relevance.target[0])
    logit = float(relevance.logits[0, chosen])
    probability = float(relevance.probabilities[0, chosen])
    name = card.classes[chosen]
    return Explanation(
        picture=card.to_image(x[0]),
        x=x,
        relevance=relevance,
        title=f"{name} (class {chosen}), logit {logit:.4g}, probability {probability:.3g}",
        settings={
            "image": _identity(image) | ({"stretch": True} if stretch else {}),
            "model": model,
            "weights": _identity(weights) if weights else None,
            "source": card.source,
            "composite": {"name": composite, "is": relevance.composite},
            "target": {"index": chosen, "class": name, "predicted": int(relevance.logits[0].argmax())},
            "logit": logit,
            "probability": probability,
            "seed": relevance.seed,
            "device": str(session.device),
            "versions": {"lrp_explorer": __version__, "torch": str(torch.__version__)},
        },
    )


def _identity(file: str) -> dict[str, Any]:
    path = Path(file).expanduser()
    return {"file": path.name, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}


def class_index(text: str, classes: tuple[str, ...]) -> int:
    """Find a class by its name or its index.

    Raises
    ------
    InputError
        If the index is out of range, or several classes have this name.
    UnknownNameError
        If there is no such class; the message suggests the nearest names.
    """
    wanted = text.strip().casefold()
    found = [index for index, name in enumerate(classes) if name.casefold() == wanted]
    if len(found) == 1:
        return found[0]
    if found:
        raise InputError(f"target {text!r} is the name of classes {', '.join(map(str, found))}; give the index")
    if wanted.lstrip("-").isdigit():
        if not 0 <= int(wanted) < len(classes):
            raise InputError(
                f"target is {wanted}; the model has {len(classes)} classes: expected 0 to {len(classes) - 1}"
            )
        return int(wanted)
    raise unknown_name("class", text, classes, "An index is accepted, too.")


def checked_path(text: str, layers: bool = False) -> Path:
    """See that a result can be written there, before anything is computed."""
    path = Path(text).expanduser()
    if path.suffix.lower() not in SUFFIXES:
        raise InputError(f"--out is {text!r}; expected a file name that ends in {', '.join(SUFFIXES)}")
    if layers and path.suffix.lower() != ".npz":
        raise InputError(f"--layers writes numbers, but --out is {text!r}; expected a file name that ends in .npz")
    if not path.parent.is_dir():
        raise InputError(f"--out is {text!r}, but there is no folder {str(path.parent)!r}; make it first")
    if path.is_dir():
        raise InputError(f"--out is {text!r}, which is a folder; expected a file name")
    return path


def write(explanation: Explanation, path: Path, layers: bool = False) -> None:
    """Write an explanation; the ending of the file's name says how, see `checked_path`.

    Raises
    ------
    DataError
        If it cannot be written; what was there before stays.
    """
    content = {".png": _png, ".html": _html, ".npz": _npz}[path.suffix.lower()](explanation, layers)
    write_together({path: content})


def _detail(settings: dict[str, Any]) -> str:
    return f"{settings['image']['file']} · {settings['model']} · {settings['composite']['name']}"


def _png(explanation: Explanation, _: bool) -> bytes:
    detail = _detail(explanation.settings)
    drawn = sheet.draw(explanation.picture, explanation.heat, explanation.title, detail)
    stream = io.BytesIO()
    drawn.save(stream, "PNG", optimize=True)
    return stream.getvalue()


def _html(explanation: Explanation, _: bool) -> bytes:
    title = f"{explanation.title} · {_detail(explanation.settings)}"
    figure = heatmap.explanation(explanation.picture, explanation.heat, theme.text(title))
    config = {"displaylogo": False, "showSendToCloud": False, "plotlyServerURL": "", "responsive": True}
    page = figure.to_html(config=config, include_plotlyjs=True, include_mathjax=False, default_height="96vh")
    head = f'<html lang="en">\n<head><title>{html.escape(title)}</title>'
    return re.sub(r"<html>\s*<head>", lambda _: head, page, count=1).encode()


def _npz(explanation: Explanation, layers: bool) -> bytes:
    relevance = explanation.relevance
    arrays = {
        "relevance": relevance.input[0].cpu().numpy(),
        "input": explanation.x[0].numpy(),
        "image": explanation.picture,
        "logits": relevance.logits[0].cpu().numpy(),
        "target": np.array(int(relevance.target[0])),
        # Text as a unicode array: `np.load(path, allow_pickle=False)` reads all of it.
        "settings": np.array(json.dumps(explanation.settings, ensure_ascii=False)),
    }
    if layers:
        arrays |= {f"layers/{name}": relevance[name][0].cpu().numpy() for name in relevance.layers}
    stream = io.BytesIO()
    np.savez_compressed(stream, allow_pickle=False, **arrays)
    return stream.getvalue()
