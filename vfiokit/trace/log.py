"""QEMU's trace log: the text of its "log" backend, written and read.

The prefix of a line changed with QEMU (QEMU ``util/log.c``, ``scripts/tracetool/backend/log.py``):

* to 10.0, always or with ``-msg timestamp=on``: ``TID@SEC.USEC:NAME TEXT`` (to 3.1 the process id)
* from 10.1 with ``-msg timestamp=on``: ``2026-01-31T12:00:00.000001Z NAME TEXT``
* from 6.0 without: ``NAME TEXT``

:func:`read_log` reads the three, mixed. What it cannot read, it hands on as :class:`Unknown`: a log has
messages of QEMU and of libvirt between the events, and nothing in it is fatal.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from vfiokit.errors import TraceError
from vfiokit.trace.formats import Format, compile_format
from vfiokit.trace.grammar import EventSet
from vfiokit.trace.record import Record

MAX_LINE = 8192  # a longer one is no event: matching it against formats with several strings takes long

__all__ = ("LogWriter", "Unknown", "read_log", "write_log")

_OLD = re.compile(
    r"(?P<tid>\d{1,10})@(?P<sec>\d{1,12})\.(?P<usec>\d{6}):(?P<name>\w+) (?P<text>.*)\Z", re.DOTALL | re.ASCII
)
_NEW = re.compile(
    r"(?P<iso>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(?P<fraction>\d{1,6}))?Z (?P<name>\w+) (?P<text>.*)\Z",
    re.DOTALL | re.ASCII,
)
_BARE = re.compile(r"(?P<name>\w+) (?P<text>.*)\Z", re.DOTALL | re.ASCII)


class _Writable(Protocol):
    def write(self, text: str, /) -> object: ...


@dataclass(frozen=True, slots=True)
class Unknown:
    """A line of a log that is no event, or not as its event's format has it.

    :param number: line number, from 1
    :param line: the line, without its new-line
    :param reason: why it is not a record
    :param time_ns: Unix time in nanoseconds, if the line has a prefix
    :param thread: thread id, if the line has one
    :param name: the event's name, if it is a known one or the line has an event's prefix
    """

    number: int
    line: str
    reason: str
    time_ns: int | None = None
    thread: int | None = None
    name: str | None = None


class LogWriter:
    """Write records to a text file as QEMU's log; an instance can be a tracer's subscriber."""

    def __init__(self, file: _Writable) -> None:
        self.file = file

    def __call__(self, record: Record) -> None:
        """Write one record."""
        self.file.write(record.line)


def write_log(records: Iterable[Record], file: _Writable) -> int:
    """Write records to a text file as QEMU's log.

    :return: how many
    """
    count = 0
    for count, record in enumerate(records, 1):  # noqa: B007
        file.write(record.line)
    return count


def _formats(sets: Iterable[EventSet]) -> dict[str, list[Format]]:
    found: dict[str, list[Format]] = {}
    for events in sets:
        for event in events.values():
            variants = found.setdefault(event.name, [])
            try:
                variants.append(compile_format(event))
            except TraceError:
                continue  # no build prints it; its lines stay unknown
    return found


def read_log(lines: Iterable[str], *sets: EventSet) -> Iterator[Record | Unknown]:
    """Read a log.

    :param lines: an open file, or any lines, with or without their new-lines
    :param sets: the events. If several declare the same one, the first whose format the line has is taken:
        so one log can be read with the formats of several QEMU releases
    :return: for each line a :class:`Record` or an :class:`Unknown`; times to the microsecond
    """
    formats = _formats(sets)
    for number, raw in enumerate(lines, 1):
        line = raw.removesuffix("\n").removesuffix("\r")
        yield _read_line(line, number, formats)


def _read_line(line: str, number: int, formats: dict[str, list[Format]]) -> Record | Unknown:
    if len(line) > MAX_LINE:
        return Unknown(number, line, f"longer than {MAX_LINE} characters")
    time_ns: int | None = None
    thread: int | None = None
    if match := _OLD.match(line):
        thread = int(match["tid"])
        time_ns = int(match["sec"]) * 1_000_000_000 + int(match["usec"]) * 1000
    elif match := _NEW.match(line):
        try:
            seconds = int(datetime.fromisoformat(match["iso"] + "+00:00").timestamp())
        except ValueError:
            return Unknown(number, line, "the date does not exist")
        time_ns = seconds * 1_000_000_000 + int((match["fraction"] or "0").ljust(6, "0")) * 1000
    else:
        match = _BARE.match(line)
        if match is None or match["name"] not in formats:
            return Unknown(number, line, "no trace event")
    name, text = match["name"], match["text"]
    variants = formats.get(name)
    if variants is None:
        return Unknown(number, line, f"no event {name} in the event set", time_ns, thread, name)
    for variant in variants:
        args = variant.read(text)
        if args is not None:
            return Record(time_ns, thread, variant.event, args)
    if not variants:
        reason = f"the format of {name} cannot be compiled"
    else:
        nearest = max(variants, key=lambda variant: variant.mismatch(text))
        at = nearest.mismatch(text)
        found = repr(text[at : at + 16])
        reason = f"not the format {nearest.event.format}: differs at character {at} of the text, {found}"
    return Unknown(number, line, reason, time_ns, thread, name)
