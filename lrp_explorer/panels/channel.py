"""The link between a widget of ours and its pictures in the browser: the whole state, then amendments to it.

An anywidget whose code needs more than two seconds to start (a busy page, a slow machine) rejects every later message
from the kernel, silently and for good. So nothing that changes travels through it: each widget owns a `Channel`, a
plain `ipywidgets` model, and its code in the browser listens there.

The state carries a revision. An amendment names the revision it makes; a browser that misses one (it attached late, it
was reloaded) sees the gap and asks for the whole state. What is shown is therefore always what the kernel said last.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anywidget
import ipywidgets
import numpy as np
import traitlets

HERE = Path(__file__).parent


class Channel(ipywidgets.Widget):
    """A model without a view: the state of one widget (kernel → browser) and its count of paints (browser → kernel)."""

    state = traitlets.Dict().tag(sync=True, echo_update=False)
    painted = traitlets.Int(0).tag(sync=True, echo_update=False)


class LiveWidget(anywidget.AnyWidget):
    """Base of our drawing widgets: a state that cannot be lost, and messages back. Abstract: subclasses bring `_esm`.

    Attributes
    ----------
    painted : int
        How many times a browser has finished painting this widget; also on its element as ``data-painted``.
    """

    painted = traitlets.Int(0, read_only=True)
    _channel = traitlets.Instance(Channel).tag(sync=True, **ipywidgets.widget_serialization)

    def __init__(self, state: dict[str, Any], **kwargs: Any) -> None:
        self._lock = threading.RLock()
        self._receivers: dict[str, Callable[[dict[str, Any]], None]] = {}
        channel = Channel(state={**state, "revision": 0})
        channel.observe(lambda change: self.set_trait("painted", change["new"]), "painted")
        channel.on_msg(self._receive)
        super().__init__(_channel=channel, **kwargs)

    @property
    def _state(self) -> dict[str, Any]:
        return self._channel.state

    def _publish(self, **changes: Any) -> None:
        """Replace parts of the state and send the whole of it."""
        with self._lock:
            self._channel.state = {**self._state, **changes, "revision": self._state["revision"] + 1}

    def _amend(self, kind: str, content: dict[str, Any], change: Callable[[dict[str, Any]], None]) -> None:
        """Change the state here by `change`, and in the browser by sending `content` alone."""
        with self._lock:
            change(self._state)
            # The revision last: a browser that asks in between then applies the amendment twice, which is harmless.
            self._state["revision"] += 1
            plain, buffers = split({"kind": kind, "revision": self._state["revision"], **content})
            self._channel.send(plain, buffers)

    def _receive(self, _: object, content: dict[str, Any], buffers: list[memoryview]) -> None:
        if content.get("kind") == "resync":
            with self._lock:
                if content.get("revision") != self._state["revision"]:
                    self._channel.send_state("state")
        elif receiver := self._receivers.get(content.get("kind", "")):
            receiver(content)

    def close(self) -> None:
        """Close the widget and its channel."""
        if self.trait_has_value("_channel"):
            self._channel.close()
        super().close()


def source(*names: str) -> str:
    """Join files that lie beside this one: the code shared by our widgets, then a widget's own."""
    return "\n".join((HERE / name).read_text(encoding="utf-8") for name in names)


def pack(value: Any) -> Any:
    """Make arrays inside a figure binary: each becomes ``{"dtype", "shape", "bytes"}``, so that none is sent as text.

    Parameters
    ----------
    value : any
        Dicts and lists, with numpy arrays (or what numpy reads as arrays) anywhere inside.

    Returns
    -------
    any
        The same tree. Arrays of two or more axes go from 64 to 32 bits: they are pictures. 64-bit integers become
        floats, which JavaScript can hold. Arrays of strings or objects become lists.
    """
    if isinstance(value, dict):
        return {key: pack(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [pack(item) for item in value]
    if isinstance(value, np.generic):
        return value.item()
    if not isinstance(value, np.ndarray) and hasattr(value, "__array__"):
        value = np.asarray(value)
    if not isinstance(value, np.ndarray):
        return value
    if value.dtype.kind not in "fiub" or value.ndim == 0:
        return value.tolist()
    if value.dtype.kind == "b":
        return value.tolist()
    if value.dtype.kind in "iu" and value.dtype.itemsize == 8:
        value = value.astype(np.float64)
    if value.dtype.kind == "f" and (value.ndim > 1 or value.dtype.itemsize not in (4, 8)):
        value = value.astype(np.float32)
    array = np.ascontiguousarray(value, dtype=value.dtype.newbyteorder("<"))
    return {"dtype": array.dtype.str[1:], "shape": list(array.shape), "bytes": array.tobytes()}


def unpack(value: Any) -> Any:
    """Give back the arrays that `pack` made binary."""
    if isinstance(value, dict):
        if value.keys() == {"dtype", "shape", "bytes"}:
            return np.frombuffer(value["bytes"], np.dtype("<" + value["dtype"])).reshape(value["shape"])
        return {key: unpack(item) for key, item in value.items()}
    if isinstance(value, list):
        return [unpack(item) for item in value]
    return value


def split(value: Any) -> tuple[Any, list[bytes]]:
    """Take the bytes out of a message and number them, as messages of our own carry their buffers apart."""
    buffers: list[bytes] = []

    def visit(item: Any) -> Any:
        if isinstance(item, dict):
            return {key: visit(part) for key, part in item.items()}
        if isinstance(item, (list, tuple)):
            return [visit(part) for part in item]
        if isinstance(item, bytes):
            buffers.append(item)
            return {"buffer": len(buffers) - 1}
        return item

    return visit(value), buffers
