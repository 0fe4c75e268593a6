import threading
import time

import ipywidgets
import pytest

from lrp_explorer.errors import InputError
from lrp_explorer.panels.base import BusySign, ErrorArea, Panel


class Probe(Panel):
    title = "Probe"

    def __init__(self, build=lambda: [ipywidgets.Label("built")]):
        self.built = 0
        self._recipe = build
        super().__init__()

    def build(self):
        self.built += 1
        return self._recipe()


def test_a_panel_is_built_when_it_is_first_opened_and_once():
    panel = Probe()
    assert panel.built == 0
    panel.unfold()
    panel.unfold()
    assert panel.built == 1
    assert [type(child).__name__ for child in panel.children] == ["Label", "ErrorArea"]


def test_showing_a_panel_in_a_notebook_opens_it():
    panel = Probe()
    panel._repr_mimebundle_(include=None, exclude=None)
    assert panel.built == 1


def test_a_panel_that_cannot_be_built_says_why():
    panel = Probe(lambda: 1 / 0)
    panel.unfold()
    assert "ZeroDivisionError: division by zero" in panel.errors.message


def test_the_error_of_a_callback_is_shown_with_its_details_and_the_next_one_works():
    panel, done = Probe(), []

    @panel.guarded
    def callback(fail):
        if fail:
            raise InputError("gamma is -1; expected <at least> 0")
        done.append(threading.current_thread())

    callback(True)
    assert panel.errors.layout.display != "none"
    assert "<strong>gamma is -1; expected &lt;at least&gt; 0</strong>" in panel.errors.message
    assert "Traceback" in panel.errors.message
    assert "test_base.py" in panel.errors.message
    callback(False)
    assert len(done) == 1


def test_a_foreign_error_is_called_by_its_type():
    area = ErrorArea()
    area.show(KeyError("conv1"))
    assert "<strong>KeyError: &#x27;conv1&#x27;</strong>" in area.message
    area.show(RuntimeError())
    assert "<strong>RuntimeError: no further message</strong>" in area.message


def test_a_message_can_be_put_away():
    area = ErrorArea()
    assert (area.message, area.layout.display) == ("", "none")
    area.show(InputError("x"))
    area.children[1].click()
    assert (area.message, area.layout.display) == ("", "none")


def test_callbacks_run_one_at_a_time():
    panel, inside, most = Probe(), [], []

    @panel.guarded
    def callback():
        inside.append(1)
        most.append(len(inside))
        time.sleep(0.01)
        inside.pop()

    threads = [threading.Thread(target=callback) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1] * 8


@pytest.fixture
def sign():
    shown = []
    return BusySign(shown.append, delay=0.05), shown


def test_what_is_done_quickly_shows_no_sign(sign):
    busy, shown = sign
    for _ in range(3):
        busy(True)
        busy(False)
    time.sleep(0.15)
    assert shown == []


def test_what_takes_longer_shows_it_until_the_end(sign):
    busy, shown = sign
    busy(True)
    time.sleep(0.02)
    assert shown == []
    time.sleep(0.2)
    assert shown == [True]
    busy(False)
    assert shown == [True, False]


def test_the_sign_of_one_task_does_not_outlive_it_in_the_next(sign):
    busy, shown = sign
    for _ in range(4):
        busy(True)
        time.sleep(0.03)
        busy(False)
    time.sleep(0.1)
    assert shown == []


def test_a_timer_that_fires_too_late_shows_nothing(sign):
    busy, shown = sign
    busy(True)
    timer = busy._timer
    busy(False)
    assert timer.finished.is_set()
    # It had fired already and waited for its turn.
    busy._appear()
    assert shown == []
