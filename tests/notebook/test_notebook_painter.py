"""The painter: a thread that draws at a pace, skips when late, and never dies in silence."""

import atexit
import threading

import pytest

from vfiokit.errors import AddressError
from vfiokit.notebook.painter import Pace, Painter

SOON = 20  # seconds: of waiting for what comes at once, unless it never does


def test_on_time_the_pace_keeps_to_its_grid():
    pace = Pace(0.1, start=10.0)
    assert pace.wait(10.0) == 0
    pace.drawn(10.0, 10.03)
    assert pace.wait(10.03) == pytest.approx(0.07)
    pace.drawn(10.12, 10.13)  # woken a little late: the next is due at 10.2 all the same
    assert pace.wait(10.13) == pytest.approx(0.07)


def test_who_is_late_skips_and_does_not_catch_up():
    pace = Pace(0.1, start=0.0)
    pace.drawn(0.0, 0.35)
    assert pace.wait(0.35) == 0
    pace.drawn(0.35, 0.36)
    assert pace.wait(0.36) == pytest.approx(0.09)


def test_one_drawn_early_moves_the_next():
    pace = Pace(0.1, start=0.0)
    pace.drawn(0.0, 0.01)
    pace.drawn(0.05, 0.06)
    assert pace.wait(0.06) == pytest.approx(0.09)


def test_it_draws_again_and_again_in_its_own_thread_until_stopped():
    drawn, enough = [], threading.Event()

    def draw():
        drawn.append(threading.current_thread())
        if len(drawn) == 3:
            enough.set()

    painter = Painter(draw, hz=1000)
    assert not painter.running
    painter.start()
    painter.start()  # one is enough
    assert enough.wait(SOON)
    assert painter.running
    painter.stop()
    assert not painter.running
    thread = drawn[0]
    thread.join(SOON)
    assert not thread.is_alive()
    assert set(drawn) == {thread}
    assert (thread.name, thread.daemon) == ("vfiokit-painter", True)
    painter.stop()


def test_an_error_is_told_and_ends_it():
    told, over = [], threading.Event()
    wrong = ValueError("no such column")

    def draw():
        raise wrong

    def on_error(error):
        told.append((error, painter.running))
        over.set()

    painter = Painter(draw, on_error=on_error)
    painter.start()
    assert over.wait(SOON)
    assert told == [(wrong, False)]


def test_it_can_be_restarted_after_an_error():
    failed, drawn = threading.Event(), threading.Event()

    def draw():
        if not failed.is_set():
            raise ValueError("once")
        drawn.set()

    painter = Painter(draw, on_error=lambda error: failed.set())
    painter.start()
    assert failed.wait(SOON)
    painter.restart()
    assert drawn.wait(SOON)
    assert painter.running
    painter.stop()


def test_draw_now_does_not_wait_for_the_next_turn():
    threads, turns = [], threading.Semaphore(0)

    def draw():
        threads.append(threading.current_thread().name)
        turns.release()

    painter = Painter(draw, hz=1 / 3600)
    painter.start()
    assert turns.acquire(timeout=SOON)
    painter.draw_now()
    assert turns.acquire(timeout=SOON)
    painter.stop()
    painter.draw_now()
    assert threads == ["vfiokit-painter", "vfiokit-painter", threading.current_thread().name]


def test_without_a_thread_an_error_is_the_callers_unless_somebody_is_told():
    def draw():
        raise ValueError("here")

    with pytest.raises(ValueError, match="here"):
        Painter(draw).draw_now()
    told = []
    Painter(draw, on_error=told.append).draw_now()
    assert [str(error) for error in told] == ["here"]


def test_one_draws_at_a_time():
    inside, free, overlaps = threading.Semaphore(0), threading.Event(), []
    drawing = threading.Lock()

    def draw():
        overlaps.append(not drawing.acquire(blocking=False))
        inside.release()
        free.wait(SOON)
        drawing.release()

    painter = Painter(draw, hz=1 / 3600)
    painter.start()
    assert inside.acquire(timeout=SOON)
    painter.stop()  # its last drawing goes on
    other = threading.Thread(target=painter.draw_now)
    other.start()
    free.set()
    other.join(SOON)
    assert overlaps == [False, False]


def test_the_interpreter_stops_it_at_its_end(monkeypatch):
    registered = []
    monkeypatch.setattr(atexit, "register", registered.append)
    monkeypatch.setattr(atexit, "unregister", registered.remove)
    painter = Painter(lambda: None)
    painter.start()
    [at_exit] = registered
    at_exit()
    assert not painter.running
    assert registered == []


@pytest.mark.parametrize("hz", [0, -1, float("nan")])
def test_no_rate_is_no_painter(hz):
    with pytest.raises(AddressError, match="hz=10"):
        Painter(lambda: None, hz=hz)
