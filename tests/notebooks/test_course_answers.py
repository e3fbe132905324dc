"""Chapters 1 to 5: every exercise can be solved; a wrong answer is told from a right one and from none."""

import pytest

import vfiokit
from vfiokit import course
from vfiokit.errors import AddressError

MIB = 1 << 20


def stepped(*verbs):
    """Return a debugger of chapter 1 after the verbs, each a function of it."""
    source = vfiokit.open("emulated:v5?state=4M&chunk=256K&name=here")
    dbg = vfiokit.debug(source, memory=MIB)
    for verb in verbs:
        verb(dbg)
    return dbg


def below(dbg):
    dbg.until(pending_below=MIB)


def find(device):
    for index in range(device.info().num_regions):
        if device.region(index).type == (2, 1):
            return index
    return None


def pages(bitmap, pfn):
    return [pfn + bit for bit in range(8 * len(bitmap)) if bitmap[bit // 8] >> bit % 8 & 1]


def raising(*_arguments):
    raise ZeroDivisionError("of the reader's")


# What solves it, and what does not; functions of nothing where an answer has to be made.
RIGHT = {
    "01.1": 3,
    "01.2": "data_size",
    "01.3": lambda: stepped(below),
    "02.1": lambda: find,
    "02.2": 0x18,
    "02.3": 8360,
    "03.1": [1, 3, 2, 0],
    "03.2": 1,
    "03.3": {5, 6, 7},
    "04.1": 20 * MIB,
    "04.2": 64 * (1 - 100 / 300) / 100 * 1000 * 1.05,  # what pending settles at, over the bandwidth, in ms
    "04.3": 100 / (1 - 30 / 64),  # where pending settles at the threshold of 30 MiB
    "05.1": lambda: pages,
    "05.2": ["strided", "hot", "random", "ring"],
    "05.3": 15 / 25,
}
WRONG = {
    "01.1": [1, 2, "three"],
    "01.2": ["pending_bytes", "data_sized", 3],
    "01.3": [7, lambda: stepped(lambda dbg: dbg.step()), lambda: stepped(below, lambda dbg: dbg.step())],
    "02.1": [9, lambda: lambda _device: 9, lambda: lambda _device: None, lambda: raising],
    "02.2": [0x10, 0x40, "x"],
    "02.3": [8192, 1044544, None],
    "03.1": [1, [1, 2, 3, 0], [1, 3, 2], [1, 3, 2, 0, 4], ["pre-copy"]],
    "03.2": [0, 3, "running"],
    "03.3": [6, {6}, {5, 6, 7, 0}, [[]]],
    "04.1": [20, 0, "20M"],
    "04.2": [0, 300, 900, "x"],
    "04.3": [100, 300, -1, None],
    "05.1": [b"", lambda: lambda bitmap, pfn: [], lambda: lambda bitmap, pfn: [pfn], lambda: raising],
    "05.2": [["ring"], ["ring", "random", "strided", "hot"], "hot"],
    "05.3": [25 / 15, 1, "0.6"[:1]],
}
UNANSWERED = {
    "01.3": stepped,
    "02.1": lambda: lambda _device: ...,
    "05.1": lambda: lambda _bitmap, _pfn: ...,
}


def made(answer):
    return answer() if callable(answer) else answer


@pytest.mark.parametrize("number", RIGHT)
def test_it_can_be_solved(number):
    verdict = course.check(number, made(RIGHT[number]))
    assert verdict.kind == "right", verdict
    assert verdict.text


@pytest.mark.parametrize(
    ("number", "answer"), [(n, answer) for n, answers in WRONG.items() for answer in answers]
)
def test_a_wrong_answer_is_told_what_is_missing(number, answer):
    verdict = course.check(number, made(answer))
    assert verdict.kind == "wrong", verdict
    assert verdict.text


@pytest.mark.parametrize("number", RIGHT)
def test_no_answer_is_told_a_hint(number):
    verdict = course.check(number, made(UNANSWERED.get(number, lambda: ...)))
    assert verdict.kind == "open"
    assert verdict.text
    assert str(verdict).startswith(f"? {number} not answered yet: ")


def test_an_answer_of_the_readers_is_text():
    html = course.check("03.3", {"<script>alert(1)</script>"})._repr_html_()
    assert "&lt;script&gt;" in html
    assert "<script" not in html


def test_an_exercise_that_is_not_there_is_an_error():
    with pytest.raises(AddressError, match=r"99\.1"):
        course.check("99.1", ...)
    with pytest.raises(AddressError, match=r"01\.9"):
        course.check("01.9", 1)
