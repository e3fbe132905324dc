"""QEMU's trace-events files: one event per line.

    [PROPERTY ...] NAME(ARGS) "FORMAT"

:func:`parse` reads text, :func:`parse_file` a file. Both are as strict as QEMU's tracetool (QEMU
``scripts/tracetool/__init__.py``), and no stricter: a format is only looked at for a new-line and ``%m``,
because comparing it with the arguments is left to the C compiler there. :mod:`vfiokit.trace.lint` does that
comparison. With ``strict=False`` nothing is refused; what would be stands in :attr:`EventSet.refused`.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from vfiokit.errors import TraceError
from vfiokit.trace.hosts import CType, ctype

__all__ = ("Argument", "Event", "EventSet", "Refusal", "near_names", "parse", "parse_file")

MAX_ARGUMENTS = 10  # since QEMU 2.10: what LTTng-UST can carry

# Those of QEMU 6.2 and older, too: a log of that time needs its declarations.
PROPERTIES = frozenset(("disable", "vcpu", "tcg", "tcg-trans", "tcg-exec"))

_IDENTIFIER = re.compile(r"[A-Za-z_]\w*\Z", re.ASCII)
_NAME = re.compile(r"\w+\Z", re.ASCII)
_WORD = re.compile(r"[\w-]+\Z", re.ASCII)


@dataclass(frozen=True, slots=True)
class Argument:
    """An argument as declared.

    :param ctype: its C type, as ``const char *``, ``uint64_t``
    :param name: its name
    """

    ctype: str
    name: str

    @property
    def type(self) -> CType:
        """The type taken apart."""
        return ctype(self.ctype)

    def __str__(self) -> str:
        return f"{self.ctype}{'' if self.ctype.endswith('*') else ' '}{self.name}"


@dataclass(frozen=True, slots=True)
class Event:
    """A declared event.

    :param format: the C source of the format, quotes and macros included; empty if there is none
    :param line: line in *source*, from 1
    :param source: the file's name
    """

    name: str
    properties: tuple[str, ...]
    arguments: tuple[Argument, ...]
    format: str
    line: int = 0
    source: str = "<trace-events>"
    stray: str = ""  # what stands between the ``)`` and the format; tracetool does not look at it

    @property
    def is_disabled(self) -> bool:
        """Is it compiled to nothing."""
        return "disable" in self.properties

    def __str__(self) -> str:
        arguments = ", ".join(map(str, self.arguments)) or "void"
        return " ".join((*self.properties, f"{self.name}({arguments})", self.format)).rstrip()


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a line cannot be used.

    :param fatal: tracetool itself refuses the line; if not, the C compiler will
    :param is_format: it is about the format
    """

    line: int
    event: str
    message: str
    fatal: bool = True
    hint: str | None = None
    is_format: bool = False


class EventSet(Mapping[str, Event]):
    """Events by name, in the order of their file.

    :param refused: what a lenient parse would have refused, in the order of the file
    """

    def __init__(self, events: Iterable[Event], source: str = "", refused: Iterable[Refusal] = ()) -> None:
        self._events: dict[str, Event] = {}
        for event in events:
            self._events.setdefault(event.name, event)
        self.source = source
        self.refused = tuple(refused)

    def __getitem__(self, name: str) -> Event:
        return self._events[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._events)

    def __len__(self) -> int:
        return len(self._events)

    def __repr__(self) -> str:
        return f"<EventSet {self.source or 'events'}: {len(self)} events>"

    def event(self, name: str) -> Event:
        """Return an event.

        :raises TraceError: there is none of this name; the nearest ones are named
        """
        try:
            return self._events[name]
        except KeyError:
            raise TraceError(
                f"no trace event {name!r} in {self.source}", hint=near_names(name, self)
            ) from None


def near_names(name: str, names: Iterable[str]) -> str | None:
    """Return a hint that lists the names nearest to *name*, or None."""
    near = difflib.get_close_matches(name.strip("*?"), list(names), n=3, cutoff=0.5)
    return " or ".join(near) if near else None


def _arguments(text: str) -> tuple[tuple[Argument, ...], list[tuple[str, bool]]]:
    """Return the arguments that can be read, and what is wrong: (message, does tracetool refuse it)."""
    if text.strip() == "void":
        return (), []
    if not text.strip():
        return (), [("empty argument list; write (void) for no arguments", True)]
    found: list[Argument] = []
    wrong: list[tuple[str, bool]] = []
    for item in text.split(","):
        if "*" in item:
            type_, _, name = item.rpartition("*")
            type_ = f"{' '.join(type_.split())} *".replace("* *", "**")
        else:
            type_, _, name = " ".join(item.split()).rpartition(" ")
        name = name.strip()
        if not type_ or not name:
            wrong.append((f"argument {item.strip()!r} is not TYPE NAME", True))
            continue
        try:
            parsed = ctype(type_)
        except TraceError as error:
            wrong.append((error.message, "not allowed" in error.message))
            continue
        if not _IDENTIFIER.match(name):
            wrong.append((f"argument name {name!r} is no C identifier", False))
            continue
        if parsed.base == "void" and not parsed.stars:
            wrong.append((f"argument {name!r} cannot be void", False))
            continue
        if any(name == other.name for other in found):
            wrong.append((f"two arguments are named {name!r}", False))
        found.append(Argument(type_, name))
    if len(found) + len(wrong) > MAX_ARGUMENTS:
        wrong.append((f"more than {MAX_ARGUMENTS} arguments", True))
    return tuple(found), wrong


def _parse_line(text: str, line: int, source: str) -> tuple[Event | None, list[Refusal]]:
    opening = text.find("(")
    closing = text.find(")", opening)
    *properties, name = text[: max(opening, 0)].split() or [""]
    readable = _NAME.match(name) and text[opening - 1 : opening].strip() and all(map(_WORD.match, properties))
    if opening < 0 or closing < 0 or not readable:
        return None, [Refusal(line, "", f"not a trace event: {text[:60]!r}", hint='NAME(ARGS) "FORMAT"')]
    refused = [
        Refusal(line, name, f"unknown property {word!r}", hint="only 'disable' is left since QEMU 10.1")
        for word in properties
        if word not in PROPERTIES
    ]
    if not _IDENTIFIER.match(name):
        refused.append(Refusal(line, name, f"event name {name!r} is no C identifier", fatal=False))
    arguments, wrong = _arguments(text[opening + 1 : closing])
    refused.extend(Refusal(line, name, message, fatal) for message, fatal in wrong)
    rest = text[closing + 1 :]
    stray, quote, after = rest.partition('"')
    stray = stray.strip()
    # Where something else stands first, tracetool takes the format for empty. The lint wants to see it.
    event = Event(name, tuple(properties), arguments, (quote + after).strip(), line, source, stray)
    if not stray:
        refused.extend(_format_refusals(event))
    return event, refused


def _format_refusals(event: Event) -> Iterator[Refusal]:
    if "%m" in event.format:
        yield Refusal(
            event.line, event.name, "%m is forbidden", hint="pass errno as an argument", is_format=True
        )
    if "\\n" in event.format:
        yield Refusal(
            event.line, event.name, "the format has a new-line", hint="one is added for you", is_format=True
        )


def parse(text: str, source: str = "<trace-events>", *, strict: bool = True) -> EventSet:
    """Parse the text of a trace-events file.

    :param source: the file's name, for messages
    :param strict: refuse what tracetool refuses, and a second event of the same name
    :raises TraceError: with ``source:line`` in front, when *strict*
    """
    events: dict[str, Event] = {}
    refused: list[Refusal] = []
    lines = text.split("\n")
    for number, raw in enumerate(lines, 1):
        stripped = raw.strip()
        if not stripped or stripped.startswith("#"):
            continue
        event, problems = _parse_line(stripped, number, source)
        refused.extend(problems)
        if event is None:
            continue
        if event.name in events:
            first = events[event.name].line
            message = f"event {event.name} is declared twice, first in line {first}"
            refused.append(Refusal(number, event.name, message, fatal=strict))
        else:
            if strict and event.stray:
                event = Event(event.name, event.properties, event.arguments, "", number, source)
            events[event.name] = event
    if lines[-1]:
        refused.append(Refusal(len(lines), "", "the file does not end with a new-line"))
    if strict:
        for problem in refused:
            if problem.fatal:
                where = f"{source}:{problem.line}: " + (f"{problem.event}: " if problem.event else "")
                raise TraceError(where + problem.message, rule="QEMU tracetool", hint=problem.hint)
    return EventSet(events.values(), source, refused)


def parse_file(path: str | Path, *, strict: bool = True) -> EventSet:
    """Parse a trace-events file; see :func:`parse`.

    :raises TraceError: as :func:`parse`, and when the file cannot be read or is not UTF-8 and *strict*
    """
    path = Path(path)
    try:
        text = path.read_bytes().decode("utf-8", "strict" if strict else "replace")
    except (OSError, UnicodeDecodeError) as error:
        raise TraceError(
            f"{path}: cannot be read: {error}", hint="a trace-events file is UTF-8 text"
        ) from error
    return parse(text, str(path), strict=strict)
