import logging
import threading
import time

import pytest

from lrp_explorer.errors import Cancelled
from lrp_explorer.panels.worker import Worker


class Desk:
    """What a panel does with a worker: collect results, errors and the busy sign."""

    def __init__(self, deliver=None):
        self.results, self.errors, self.busy, self.threads = [], [], [], set()
        self.worker = Worker(deliver or self.results.append, self.errors.append, self._note)

    def _note(self, busy):
        self.busy.append(busy)
        self.threads.add(threading.current_thread())

    def settle(self):
        assert self.worker.wait(5), "the worker did not come to rest"


@pytest.fixture
def desk():
    desk = Desk()
    yield desk
    desk.worker.close()


class Gate:
    """A job that waits to be let through, and says when it has begun."""

    def __init__(self, result):
        self.result, self.begun, self.let = result, threading.Event(), threading.Event()
        self.was_stale = None

    def __call__(self, stale):
        self.begun.set()
        assert self.let.wait(5)
        self.was_stale = stale()
        return self.result


def test_a_job_is_computed_on_another_thread_and_delivered(desk):
    seen = []
    desk.worker.submit(lambda stale: seen.append(threading.current_thread()) or 7)
    desk.settle()
    assert desk.results == [7]
    assert seen[0] is not threading.main_thread()


def test_of_those_that_wait_only_the_newest_is_computed(desk):
    gate, ran = Gate("first"), []
    desk.worker.submit(gate)
    assert gate.begun.wait(5)
    for number in range(20):
        desk.worker.submit(lambda stale, number=number: ran.append(number) or number)
    gate.let.set()
    desk.settle()
    assert ran == [19]
    assert desk.results == ["first", 19]


def test_a_newer_job_of_the_same_topic_lets_the_running_one_be_delivered(desk):
    gate = Gate("drag 1")
    desk.worker.submit(gate, topic="seven")
    assert gate.begun.wait(5)
    desk.worker.submit(lambda stale: "drag 2", topic="seven")
    gate.let.set()
    desk.settle()
    assert gate.was_stale is False
    assert desk.results == ["drag 1", "drag 2"]


def test_a_newer_job_of_another_topic_makes_the_running_one_stale(desk):
    gate = Gate("old example")
    desk.worker.submit(gate, topic="seven")
    assert gate.begun.wait(5)
    desk.worker.submit(lambda stale: "new example", topic="eight")
    gate.let.set()
    desk.settle()
    assert gate.was_stale is True
    assert desk.results == ["new example"]


def test_returning_to_a_topic_does_not_revive_what_was_stale(desk):
    gate = Gate("first visit")
    desk.worker.submit(gate, topic="seven")
    assert gate.begun.wait(5)
    desk.worker.submit(lambda stale: "other", topic="eight")
    desk.worker.submit(lambda stale: "second visit", topic="seven")
    gate.let.set()
    desk.settle()
    assert desk.results == ["second visit"]


def test_a_job_may_give_up_by_itself(desk):
    def give_up(stale):
        raise Cancelled

    desk.worker.submit(give_up)
    desk.settle()
    assert (desk.results, desk.errors) == ([], [])


@pytest.mark.parametrize("error", [ValueError("no"), MemoryError(), SystemExit(1)])
def test_an_error_is_shown_and_the_worker_lives_on(desk, error):
    def fail(stale):
        raise error

    desk.worker.submit(fail)
    desk.settle()
    desk.worker.submit(lambda stale: "alive")
    desk.settle()
    assert desk.errors == [error]
    assert desk.results == ["alive"]


def test_the_error_of_a_stale_job_is_not_shown(desk):
    gate = Gate(None)

    def fail(stale):
        gate(stale)
        raise ValueError("nobody asks any more")

    desk.worker.submit(fail, topic="seven")
    assert gate.begun.wait(5)
    desk.worker.submit(lambda stale: "new", topic="eight")
    gate.let.set()
    desk.settle()
    assert (desk.results, desk.errors) == (["new"], [])


def test_an_error_while_painting_is_shown_too():
    def deliver(result):
        raise ValueError(f"cannot paint {result}")

    desk = Desk(deliver)
    desk.worker.submit(lambda stale: 7)
    desk.settle()
    assert str(desk.errors[0]) == "cannot paint 7"
    desk.worker.close()


def test_an_error_that_cannot_be_shown_is_logged_and_the_worker_lives_on(caplog):
    results = []

    def refuse(error):
        raise RuntimeError("no error area")

    worker = Worker(results.append, refuse)
    with caplog.at_level(logging.ERROR):
        worker.submit(lambda stale: 1 / 0)
        assert worker.wait(5)
    worker.submit(lambda stale: "alive")
    assert worker.wait(5)
    assert "an error could not be shown: ZeroDivisionError" in caplog.text
    assert results == ["alive"]
    worker.close()


def test_the_busy_sign_goes_on_once_for_a_burst_and_off_at_its_end(desk):
    gate = Gate(1)
    desk.worker.submit(gate)
    assert gate.begun.wait(5)
    desk.worker.submit(lambda stale: 2)
    gate.let.set()
    desk.settle()
    deadline = time.monotonic() + 5
    while desk.busy[-1:] != [False] and time.monotonic() < deadline:
        time.sleep(0.005)
    assert desk.busy == [True, False]


def test_waiting_gives_up_in_time(desk):
    gate = Gate(1)
    desk.worker.submit(gate)
    assert desk.worker.wait(0.01) is False
    gate.let.set()


def test_a_closed_worker_takes_nothing_and_delivers_nothing():
    desk = Desk()
    gate = Gate("late")
    desk.worker.submit(gate)
    assert gate.begun.wait(5)
    desk.worker.close()
    desk.worker.submit(lambda stale: "later")
    gate.let.set()
    desk.settle()
    assert desk.results == []
    desk.worker._thread.join(5)
    assert not desk.worker._thread.is_alive()
