"""Chapters 6 to 8: exercises can be solved, mistakes are told."""

import ast
import inspect
import re

import pytest
from course_files import FOLDER, code, read
from vendor_driver import RESUMING, SAVING, Solution

import vfiokit
from vfiokit import course
from vfiokit.course import stop_and_copy, traces
from vfiokit.emulated.driver import VendorDriver
from vfiokit.vmm.stream_items import read_items

# 6 and 7


def stream():
    return list(read_items(stop_and_copy._stream()))


def first_end():
    return next(item.offset for item in stream() if item.what == "section type" and item.data[0] == 3)


def place_of(what, nth=0):
    return [item.offset for item in stream() if item.what == what][nth]


RIGHT = {
    "06.1": lambda: stream()[-1].offset + 1 - first_end(),
    "06.2": lambda: place_of("marker") + 7,
    "06.3": lambda: place_of("device data") + 100,
    "07.1": lambda: len(traces._chunks()),
    "07.2": lambda: 0x11000,
    "07.3": lambda: "copied_pfns",
    "07.4": lambda: "pending_bytes",
}
WRONG = {
    "06.1": [lambda: 0, lambda: "x", lambda: stream()[-1].offset + 1, lambda: 8360],
    # The device's data, a guest page that nobody checks, and what is no place.
    "06.2": [
        lambda: place_of("device data") + 100,
        lambda: place_of("BAR0"),
        lambda: 0,
        lambda: -1,
        lambda: 1.5,
    ],
    "06.3": [lambda: place_of("marker") + 7, lambda: place_of("ram page"), lambda: 1 << 40, lambda: None],
    "07.1": [lambda: 0, lambda: "many"],
    "07.2": [lambda: 0x1000, lambda: 0x40, lambda: "0x11000"],
    "07.3": [lambda: "pending_bytes", lambda: "data_size", lambda: "register", lambda: 3, list],
    "07.4": [lambda: "copied_pfns", lambda: "data_offset", lambda: None],
}


@pytest.mark.parametrize("number", RIGHT)
def test_it_can_be_solved(number):
    verdict = course.check(number, RIGHT[number]())
    assert verdict.kind == "right", verdict
    assert verdict.text


@pytest.mark.parametrize(
    ("number", "answer"), [(number, answer) for number, answers in WRONG.items() for answer in answers]
)
def test_a_wrong_answer_is_told_what_is_missing(number, answer):
    verdict = course.check(number, answer())
    assert verdict.kind == "wrong", verdict
    assert verdict.text
    assert "raised" not in verdict.text


@pytest.mark.parametrize("number", RIGHT)
def test_no_answer_is_told_a_hint(number):
    assert course.check(number, ...).kind == "open"


@pytest.mark.parametrize(
    ("name", "checks"), [("06-stop-and-copy.ipynb", stop_and_copy), ("07-reading-a-trace.ipynb", traces)]
)
def test_the_checks_run_what_the_notebook_runs(name, checks):
    """The 7th's addresses have one part that the reader varies."""
    text = "\n".join(cell.source for cell in code(read(FOLDER / name))).replace("dma={dma}", "dma=0")
    for address in (checks._SOURCE, checks._THERE):
        assert f'"{address}"' in text


def test_the_planted_bug_shows_in_a_quiet_guest_alone():
    verdicts = {}
    for dma in ("0", "8M/s"):
        with (
            traces.open_planted(traces._SOURCE.replace("dma=0", f"dma={dma}")) as here,
            vfiokit.open(traces._THERE, clock=here.clock) as there,
        ):
            session = vfiokit.debug(here, there, memory=1 << 20)
            verdicts[dma] = session.finish().reason
            session.close()
    assert verdicts == {"0": "failed", "8M/s": "ended"}


# 8: what people write, and what they are told

EXERCISES = ("08.1", "08.2", "08.3", "08.4")


def without(**handlers):
    return type("Mine", (Solution,), handlers)


def states(*, refuse=True, mark="entered", stop=True):
    def set_state(self, new):
        if refuse and new & RESUMING and new != RESUMING:
            raise self.refuse("no")
        entered = new & SAVING and not self.state & SAVING
        if (mark == "entered" and entered) or (mark == "each" and new & SAVING):
            self.device.all_changed()
        if mark == "once" and entered and not getattr(self, "marked", False):
            self.marked = True
            self.device.all_changed()
        if stop:
            (self.device.run if new & 1 else self.device.stop)()

    return set_state


def at(place):
    def data_offset(self):
        Solution.data_offset(self)
        return place

    return data_offset


def refusing(self, *_chunk):
    raise self.refuse("I do not want it")


def raising(_self, *_chunk):
    raise ZeroDivisionError("of the reader's")


def elsewhere(self, chunk):
    block = (int.from_bytes(chunk[:8], "little") + 1) % self.device.blocks
    self.device.write(block, chunk[8:])


MISTAKES = [
    # name, handlers, the exercise that tells, what it says
    ("never stops", {"set_state": states(stop=False)}, "08.1", "the device works still"),
    ("takes every state", {"set_state": states(refuse=False)}, "08.1", "6 was taken"),
    ("refuses states", {"set_state": refusing}, "08.1", "device_state = 3 .pre-copy. was refused"),
    ("never begins", {"set_state": states(mark="")}, "08.2", "were never handed out"),
    ("hands all out twice", {"set_state": states(mark="each")}, "08.2", "everything is handed out once more"),
    ("begins once", {"set_state": states(mark="once")}, "08.4", "the try after the cancel"),
    ("counts blocks", {"pending_bytes": lambda self: self.device.changed()}, "08.2", "it counts bytes"),
    ("nothing is pending", {"pending_bytes": lambda self: 0}, "08.2", "never handed out"),
    ("returns nothing", {"pending_bytes": lambda self: None}, "08.2", "returned None"),
    ("place in the header", {"data_offset": at(0)}, "08.2", "lies in the header"),
    ("place past the end", {"data_offset": at(1 << 30)}, "08.2", "past the region's end"),
    ("never a size", {"data_size": lambda self: 0}, "08.2", "data_size is 0 while pending_bytes"),
    ("always a size", {"data_size": lambda self: 4104}, "08.2", "data_size still told a chunk"),
    ("too large", {"data_size": lambda self: 1 << 40}, "08.2", "ends past the region's end"),
    ("raises", {"data_offset": raising}, "08.2", "raised ZeroDivisionError"),
    ("loads nothing", {"load": lambda self, chunk: None}, "08.3", "nothing of the source's"),
    ("loads elsewhere", {"load": elsewhere}, "08.3", "nothing of the source's"),
    ("refuses chunks", {"load": refusing}, "08.3", "I do not want it"),
    ("raises in load", {"load": raising}, "08.3", "raised ZeroDivisionError"),
]


@pytest.mark.parametrize("number", EXERCISES)
def test_a_whole_driver_is_right(number):
    verdict = course.check(number, Solution)
    assert verdict.kind == "right", verdict


@pytest.mark.parametrize(
    ("handlers", "number", "said"), [row[1:] for row in MISTAKES], ids=[row[0] for row in MISTAKES]
)
def test_a_mistake_is_told(handlers, number, said):
    verdict = course.check(number, without(**handlers))
    assert verdict.kind == "wrong", verdict
    assert re.search(said, verdict.text), verdict


def test_a_chunk_that_is_none_must_be_refused():
    def trusting(self, chunk):
        if len(chunk) == 4104:
            self.device.write(int.from_bytes(chunk[:8], "little"), chunk[8:])

    assert "3 bytes was taken" in course.check("08.3", without(load=trusting)).text


@pytest.mark.parametrize("number", EXERCISES)
def test_the_notebook_s_skeleton_is_no_answer_yet(number):
    (cell,) = (cell for cell in code(read(FOLDER / "08-bring-up-a-driver.ipynb")) if cell.id == "driver")
    tree = ast.parse(cell.source.replace("%load_ext vfiokit\n", ""))
    names = {}
    exec(compile(tree, "notebook", "exec"), names)
    assert issubclass(names["MyDriver"], VendorDriver)
    assert course.check(number, names["MyDriver"]).kind == "open"


@pytest.mark.parametrize(
    ("missing", "opened"),
    [("set_state", 4), ("pending_bytes", 3), ("data_offset", 3), ("data_size", 3), ("load", 2)],
)
def test_each_handler_that_is_missing_leaves_open_what_needs_it(missing, opened):
    """Saving is done before loading is, and states before both."""
    driver = without(**{missing: getattr(VendorDriver, missing)})
    kinds = [course.check(number, driver).kind for number in EXERCISES]
    assert kinds == ["right"] * (4 - opened) + ["open"] * opened


@pytest.mark.parametrize("answer", [3, "MyDriver", int, Solution(None, memoryview(b""), 0)])
def test_what_is_no_driver_is_told_so(answer):
    verdict = course.check("08.1", answer)
    assert verdict.kind == "wrong"
    assert "class derived from VendorDriver" in verdict.text


def test_the_handlers_are_those_that_the_notebook_lists():
    (cell,) = (cell for cell in read(FOLDER / "08-bring-up-a-driver.ipynb").cells if cell.id == "title")
    for name, member in vars(VendorDriver).items():
        if inspect.isfunction(member) and name not in ("__init__", "refuse"):
            assert f"`{name}(" in cell.source
