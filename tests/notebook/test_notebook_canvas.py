"""DirtyCanvas: a frame is one message with one buffer, and the state is the last frame."""

import numpy as np
import pytest

from vfiokit.errors import AddressError
from vfiokit.notebook.canvas import DirtyCanvas
from vfiokit.notebook.in_flight import TIME_OUT, InFlight


class Caught(DirtyCanvas):
    """Keeps what it would send."""

    def __init__(self, *args, **options):
        self.sent = []
        super().__init__(*args, **options)

    def _send(self, msg, buffers=None):
        self.sent.append((msg, buffers))

    def says(self, content):
        """As if the page had sent it."""
        self._handle_custom_msg(content, [])


@pytest.fixture
def canvas():
    shown = Caught(["#ffffff", "#000000"], ["clean", "dirty"])
    shown.sent.clear()
    return shown


def test_a_frame_is_one_message_with_one_buffer(canvas):
    levels = np.arange(12, dtype=np.uint8).reshape(3, 4)
    canvas.show(levels, first=0x100, each=16, note="one")
    [(message, [buffer])] = canvas.sent
    assert message["buffer_paths"] == [["levels"]]
    assert message["state"] == {"shape": [3, 4], "first": 0x100, "each": 16, "note": "one", "seq": 1}
    assert bytes(buffer) == bytes(range(12))


def test_rows_stay_rows_however_the_array_lies_in_memory(canvas):
    canvas.show(np.arange(6, dtype=np.uint8).reshape(3, 2).T)
    assert canvas.shape == [2, 3]
    assert canvas.levels == bytes([0, 2, 4, 1, 3, 5])


def test_the_same_frame_again_is_answered_too(canvas):
    levels = np.zeros((2, 2), np.uint8)
    canvas.show(levels)
    canvas.show(levels)
    assert canvas.sent[1][0]["state"] == {"seq": 2}  # nothing else has changed


def test_a_page_that_is_reloaded_gets_the_last_frame(canvas):
    canvas.show(np.full((2, 2), 7, np.uint8), first=9, note="last")
    state = canvas.get_state()
    assert (state["levels"], state["shape"], state["first"], state["note"]) == (b"\7" * 4, [2, 2], 9, "last")
    assert state["palette"] == ["#ffffff", "#000000"]
    assert state["meanings"] == ["clean", "dirty"]


@pytest.mark.parametrize(
    "wrong", [np.zeros((2, 2), np.int64), np.zeros(4, np.uint8), np.zeros((1, 2, 2), np.uint8)]
)
def test_another_array_is_refused_and_nothing_is_sent(canvas, wrong):
    with pytest.raises(AddressError, match="uint8, rows x columns"):
        canvas.show(wrong)
    assert canvas.sent == []


def test_a_busy_page_is_left_alone_for_a_second():
    now = [0.0]
    canvas = Caught(flight=InFlight(now=lambda: now[0]))
    frame = np.zeros((1, 1), np.uint8)
    for _ in range(2):
        assert canvas.ready()
        canvas.show(frame)
    assert not canvas.ready()
    now[0] += TIME_OUT
    assert canvas.ready()
    canvas.show(frame)
    assert not canvas.ready()
    canvas.says({"ack": 3})
    assert canvas.ready()


def test_a_reloaded_page_is_not_busy():
    canvas = Caught(flight=InFlight(now=lambda: 0.0))
    for _ in range(2):
        canvas.show(np.zeros((1, 1), np.uint8))
    assert not canvas.ready()
    canvas.get_state()
    assert canvas.ready()


def test_more_is_said_of_a_cell_on_request(canvas):
    canvas.show(np.zeros((2, 4), np.uint8), first=1 << 40, each=256)
    asked = []

    def tell(first, pages):
        asked.append((first, pages))
        return "<3 of 256>"

    canvas.says({"cell": 5})
    canvas.on_cell(tell)
    assert canvas.asks
    canvas.sent.clear()
    canvas.says({"cell": 5})
    assert asked == [((1 << 40) + 5 * 256, 256)]
    content = {"kind": "cell", "cell": 5, "text": "<3 of 256>"}
    assert canvas.sent == [({"method": "custom", "content": content}, None)]


@pytest.mark.parametrize(
    "content", [{"cell": 8}, {"cell": -1}, {"cell": "1"}, {"cell": None}, "cell", None, {}]
)
def test_a_cell_that_is_none_is_not_asked_for(canvas, content):
    canvas.show(np.zeros((2, 4), np.uint8))
    canvas.on_cell(lambda first, pages: pytest.fail("asked"))
    canvas.sent.clear()
    canvas.says(content)
    assert canvas.sent == []
