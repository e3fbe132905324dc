"""The panel's thread: one verb at a time, told what came, paused whenever somebody asks."""

import threading

import pytest

from vfiokit.debugger import Breakpoint, Stop
from vfiokit.errors import StateError
from vfiokit.notebook.stepper import Stepper


@pytest.fixture
def came():
    return []


@pytest.fixture
def stepper(dbg, came):
    made = Stepper(dbg, lambda verb, stop: came.append((verb, stop)))
    yield made
    made.join(30)


def test_a_verb_runs_on_a_thread_of_its_own_and_is_told_of(dbg, stepper, came):
    threads = []
    dbg.add(
        Breakpoint(
            event="vfio_save_setup",
            actions=[lambda *_: threads.append(threading.current_thread().name)],
        )
    )
    assert stepper.start("finish", dbg.finish)
    assert stepper.join(30)
    ((verb, stop),) = came
    assert (verb, stop.reason) == ("finish", "breakpoint")
    assert threads == ["vfiokit-stepper"]


def test_a_second_verb_is_not_begun_while_one_runs(dbg, stepper, came):
    held, go = threading.Event(), threading.Event()

    def wait():
        held.set()
        assert go.wait(30)
        return Stop("step", "source")

    assert stepper.start("wait", wait)
    assert held.wait(30)
    assert stepper.busy
    assert not stepper.start("step", dbg.step)
    go.set()
    assert stepper.join(30)
    assert not stepper.busy
    assert [verb for verb, _ in came] == ["wait"]
    assert dbg.history == []


def test_a_pause_that_comes_before_the_verb_has_begun_is_repeated(dbg, stepper, came):
    begun, go = threading.Event(), threading.Event()

    def late():
        begun.set()
        assert go.wait(30)
        dbg.pace = 0.001
        return dbg.finish()

    stepper.start("run", late)
    assert begun.wait(30)
    stepper.pause()  # too early: the run that is about to begin forgets it
    go.set()
    while stepper.busy:
        stepper.ask_again()  # as the painter does
        stepper.join(0.001)
    assert came[0][1].reason == "paused"


def test_errors_are_told_and_the_next_verb_works(dbg, stepper, came):
    def refuse():
        raise StateError("step", "nothing", ("something",))

    def burst():
        raise ZeroDivisionError("ours")

    for name, verb in (("refuse", refuse), ("burst", burst), ("step", dbg.step)):
        assert stepper.start(name, verb)
        assert stepper.join(30)
    assert [type(stop) for _, stop in came] == [StateError, ZeroDivisionError, Stop]
    assert len(dbg.history) == 1
