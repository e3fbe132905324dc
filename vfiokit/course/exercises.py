"""What an exercise is, and what is said of an answer.

An exercise is a function of the answer that returns a `Verdict`; a chapter's module declares it::

    @exercise("01.1", "run until vfio_save_iterate, then look at the registers")
    def state_in_pre_copy(answer: object) -> Verdict:
        ...
        return right("SAVING | RUNNING") if answer == 3 else wrong("…")

`check` finds the module by the number, so a chapter is imported when its first answer is checked.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib import import_module
from typing import Any, Literal

from vfiokit.errors import AddressError
from vfiokit.view.theme import LIGHT, escaped

__all__ = ("CHAPTERS", "OPEN", "Verdict", "check", "exercise", "numbers", "right", "wrong")

CHAPTERS = {
    "01": "first_steps",
    "02": "regions",
    "03": "states",
    "04": "pre_copy",
    "05": "dirty_pages",
    "06": "stop_and_copy",
    "07": "traces",
    "08": "driver",
    "09": "kernel",
}
"""Module of this package for each notebook's number."""

_SIGNS = {"right": "✓", "wrong": "✗", "open": "?"}
_WORDS = {"right": "right", "wrong": "not yet", "open": "not answered yet"}


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is said of an answer: *kind*, and why in words; a notebook shows it as a coloured line."""

    kind: Literal["right", "wrong", "open"]
    text: str = ""
    number: str = ""

    def __str__(self) -> str:
        told = f"{self.number} {_WORDS[self.kind]}".strip()
        return f"{_SIGNS[self.kind]} {told}: {self.text}" if self.text else f"{_SIGNS[self.kind]} {told}"

    __repr__ = __str__

    def _repr_html_(self) -> str:
        color = {"right": LIGHT.good, "wrong": LIGHT.bad, "open": LIGHT.muted}[self.kind]
        head, _, rest = str(self).partition(":")
        return (
            f'<div role="status" style="border-left:5px solid {color};padding:6px 12px;margin:2px 0">'
            f"<b>{escaped(head)}</b>{escaped(rest and f':{rest}')}</div>"
        )


OPEN = Verdict("open")
"""The reader has not answered yet; `check` adds the hint."""


def right(text: str = "") -> Verdict:
    """Return that the answer is right; *text* says what it shows."""
    return Verdict("right", text)


def wrong(text: str) -> Verdict:
    """Return that the answer is not right; *text* says what is missing, not the answer."""
    return Verdict("wrong", text)


@dataclass(frozen=True, slots=True)
class _Exercise:
    hint: str
    holds: Callable[[Any], Verdict]


_exercises: dict[str, _Exercise] = {}


def exercise(number: str, hint: str) -> Callable[[Callable[[Any], Verdict]], Callable[[Any], Verdict]]:
    """Declare the exercise *number*, "04.2"; *hint* is what a reader without an answer is told."""

    def declare(holds: Callable[[Any], Verdict]) -> Callable[[Any], Verdict]:
        _exercises[number] = _Exercise(hint, holds)
        return holds

    return declare


def numbers() -> list[str]:
    """Return the numbers of all exercises, in order."""
    for module in CHAPTERS.values():
        import_module(f"vfiokit.course.{module}")
    return sorted(_exercises)


def check(number: str, answer: Any) -> Verdict:
    """Tell whether *answer* is right; ``...`` is no answer yet.

    Never raises for an answer, whatever it is: a function of the reader's that fails is a wrong answer.

    :param number: of the exercise, "04.2"
    :raises AddressError: there is no such exercise
    """
    module = CHAPTERS.get(number.partition(".")[0])
    if module is not None:
        import_module(f"vfiokit.course.{module}")
    if number not in _exercises:
        raise AddressError(f"there is no exercise {number!r}", hint=f"one of {', '.join(numbers())}")
    asked = _exercises[number]
    verdict = OPEN
    if answer is not ...:
        try:
            verdict = asked.holds(answer)
        except Exception as error:
            verdict = wrong(f"it raised {type(error).__name__}: {error}")
    if verdict.kind == "open":
        verdict = replace(verdict, text=asked.hint)
    return replace(verdict, number=number)
