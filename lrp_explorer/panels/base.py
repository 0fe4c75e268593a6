"""What every panel has: it is built when first opened, says when it is busy, and shows its errors instead of dying."""

from __future__ import annotations

import functools
import html
import logging
import threading
import traceback
from collections.abc import Callable, Sequence
from typing import Any

import ipywidgets

from lrp_explorer.errors import LrpError
from lrp_explorer.panels import frame

BUSY_AFTER = 0.15
"""Seconds before the busy sign appears: what is done sooner would only flicker."""

_log = logging.getLogger(__name__)


class BusySign:
    """Calls `show(True)` when something has been busy for `delay` seconds, and `show(False)` when it no longer is."""

    def __init__(self, show: Callable[[bool], None], delay: float = BUSY_AFTER) -> None:
        self._show, self._delay = show, delay
        self._lock = threading.Lock()
        self._timer: threading.Timer | None = None
        self._shown = False

    def __call__(self, busy: bool) -> None:
        """Say that work has begun, or that it is done."""
        with self._lock:
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
            if busy and not self._shown:
                self._timer = threading.Timer(self._delay, self._appear)
                self._timer.daemon = True
                self._timer.start()
            elif not busy and self._shown:
                self._shown = False
                self._show(False)

    def _appear(self) -> None:
        with self._lock:
            # Cancelled too late: the timer had fired and waited for the lock.
            if self._timer is not threading.current_thread():
                return
            self._timer, self._shown = None, True
            self._show(True)


class ErrorArea(ipywidgets.VBox):
    """A message with its details, which the user can put away; nothing at all while there is no error."""

    def __init__(self) -> None:
        self._text = ipywidgets.HTML()
        dismiss = ipywidgets.Button(icon="times", tooltip="Put this message away")
        dismiss.on_click(lambda _: self.clear())
        super().__init__([self._text, dismiss])
        self.add_class("lrp-error")
        self.clear()

    @property
    def message(self) -> str:
        """The markup shown, empty while there is no error."""
        return self._text.value

    def show(self, error: BaseException) -> None:
        """Show an error: what it says first, where it came from on request."""
        name = type(error).__name__
        said = str(error) or "no further message"
        # Our own errors are written for the user; others need their type to be understood.
        headline = said if isinstance(error, LrpError) else f"{name}: {said}"
        details = "".join(traceback.format_exception(error))
        self._text.value = (
            f'<div role="alert"><strong>{html.escape(headline)}</strong>'
            f"<details><summary>Details</summary><pre>{html.escape(details)}</pre></details></div>"
        )
        self.layout.display = ""

    def clear(self) -> None:
        """Take the message away."""
        if self._text.value or self.layout.display != "none":
            self._text.value = ""
            self.layout.display = "none"


class Panel(ipywidgets.VBox):
    """Abstract: a panel of the explorer; a final one brings `title` and `build`.

    Attributes
    ----------
    title : str
        Name of the panel, as on its tab.
    errors : ErrorArea
        Where `report` shows.
    """

    title = ""

    def __init__(self) -> None:
        self.errors = ErrorArea()
        self._lock = threading.RLock()
        self._opened = False
        self._busy = BusySign(self.show_busy)
        super().__init__([self.errors])
        self.add_class("lrp-panel")

    def build(self) -> Sequence[ipywidgets.Widget]:
        """Make the widgets; called once, when the panel is first opened."""
        raise TypeError(f"{type(self).__name__} does not say what it is built of")

    def show_busy(self, busy: bool) -> None:
        """Show or hide the busy sign; called from any thread."""

    def unfold(self) -> None:
        """Build the panel unless that has been done."""
        with self._lock:
            if not self._opened:
                self._opened = True
                self.guarded(self._fill)()

    def _fill(self) -> None:
        self.children = [*self.build(), self.errors]
        frame.quieten(self)

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        self.unfold()
        return super()._repr_mimebundle_(**kwargs)

    def guarded(self, callback: Callable[..., None]) -> Callable[..., None]:
        """Wrap a callback: one at a time, and an error goes to the error area instead of nowhere."""

        @functools.wraps(callback)
        def wrapper(*args: Any, **kwargs: Any) -> None:
            with self._lock:
                try:
                    callback(*args, **kwargs)
                except Exception as error:
                    self.report(error)

        return wrapper

    def report(self, error: BaseException) -> None:
        """Show an error in the panel, and write it to the log."""
        _log.info("%s: %s", type(self).__name__, error, exc_info=error)
        self.errors.show(error)
