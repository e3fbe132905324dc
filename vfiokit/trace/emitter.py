"""Emit trace events: typed, cheap when on, next to nothing when off.

    tracer = Tracer(sets.load("v5"), ["vfio_*", "-vfio_update_pending"])
    pending = tracer.probe("vfio_update_pending")
    pending("0000:3b:00.1", 1 << 20)

A :class:`Tracer` keeps what was emitted as packed 64-bit words, ``2 + arguments`` words an event; strings
are kept once. Nothing is formatted until somebody looks at :attr:`Record.text <vfiokit.trace.Record.text>`.

Threads: any number may emit, any number may read at the same time. An event is packed aside and appended in
one step, so a reader sees all of it or nothing, and no lock stands in the way of the one who emits.

Patterns are QEMU's (QEMU ``docs/devel/tracing.rst``): ``*`` and ``?``, and ``-`` in front to switch off; the
later one wins.
"""

from __future__ import annotations

import re
import struct
import sys
import threading
import time
from array import array
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, overload

from vfiokit.errors import TraceError
from vfiokit.trace.formats import Value
from vfiokit.trace.grammar import Argument, Event, EventSet, near_names
from vfiokit.trace.record import Record

if TYPE_CHECKING:
    import pandas as pd

__all__ = ("Probe", "Tracer", "select")

_CODES = {8: "b", 16: "h", 32: "i", 64: "q"}
_FIRST = sys.byteorder == "little"  # where in a word its low-order bytes are


def select(events: EventSet, patterns: Iterable[str], enabled: Iterable[str] = ()) -> frozenset[str]:
    """Return the names of the events that are on after the patterns were applied, first to last.

    :param enabled: the names that are on before
    :raises TraceError: a pattern matches no event; the nearest names are listed
    """
    on = set(enabled)
    usable = [name for name, event in events.items() if not event.is_disabled]
    for pattern in patterns:
        glob = pattern.strip().removeprefix("-")
        regex = re.compile(re.escape(glob).replace(r"\*", ".*").replace(r"\?", "."))
        matched = [name for name in usable if regex.fullmatch(name)]
        if not matched:
            raise TraceError(
                f"trace pattern {pattern!r} matches no event of {events.source or 'the set'}",
                hint=near_names(glob, usable) or "* and ? are wildcards, and - in front switches off",
            )
        (on.difference_update if pattern.strip().startswith("-") else on.update)(matched)
    return frozenset(on)


class Probe:
    """One event of a tracer, to be called with its arguments. Get it once from :meth:`Tracer.probe`.

    :ivar enabled: is the event on; ask before arguments are worked out that are costly
    """

    __slots__ = ("_fire", "enabled", "event")

    def __init__(self, event: Event, fire: Callable[..., None]) -> None:
        self.event = event
        self.enabled = False
        self._fire = fire

    def __call__(self, *args: Value) -> None:
        """Emit the event, if it is on.

        :raises TraceError: the arguments do not go with the declaration; nothing was kept
        """
        if self.enabled:
            self._fire(*args)

    def __repr__(self) -> str:
        return f"<Probe {self.event.name} {'on' if self.enabled else 'off'}>"


def _code(argument: Argument) -> str:
    """Return the struct code of one word that holds the argument in its low-order bytes."""
    type_ = argument.type
    code = _CODES[type_.bits]
    if not type_.signed or type_.is_pointer:
        code = code.upper()
    pad = f"{8 - type_.bits // 8}x" if type_.bits < 64 else ""
    return code + pad if _FIRST else pad + code


class Tracer:
    """Trace events as they happen, kept in memory.

    :param events: the events that can be emitted
    :param patterns: which of them are on at first; all, if not given
    :param clock: returns Unix time in nanoseconds
    :param thread: returns the id of the calling thread
    """

    def __init__(
        self,
        events: EventSet,
        patterns: Iterable[str] = ("*",),
        *,
        clock: Callable[[], int] = time.time_ns,
        thread: Callable[[], int] = threading.get_native_id,
    ) -> None:
        self.events = events
        self._clock = clock
        self._thread = thread
        self._by_id = tuple(events.values())
        self._words = array("Q")
        self._strings: list[str | None] = []
        self._string_ids: dict[str | None, int] = {}
        self._strings_lock = threading.Lock()
        self._starts = array("Q")  # of the records in the words; made by readers, as far as they looked
        self._indexed = 0
        self._index_lock = threading.Lock()
        self._subscribers: tuple[Callable[[Record], None], ...] = ()
        self._probes = {event.name: Probe(event, self._fire(i, event)) for i, event in enumerate(self._by_id)}
        self._enabled: frozenset[str] = frozenset()
        self._switch(select(events, patterns))

    # Switching

    @property
    def enabled(self) -> frozenset[str]:
        """Names of the events that are on."""
        return self._enabled

    def enable(self, *patterns: str) -> None:
        """Switch events on, and with ``-`` in front off; the rest stays as it is.

        :raises TraceError: a pattern matches no event; then nothing was switched
        """
        self._switch(select(self.events, patterns, self._enabled))

    def disable(self, *patterns: str) -> None:
        """Switch events off.

        :raises TraceError: a pattern matches no event; then nothing was switched
        """
        self.enable(*(f"-{pattern}" for pattern in patterns))

    def _switch(self, on: frozenset[str]) -> None:
        self._enabled = on
        for name, probe in self._probes.items():
            probe.enabled = name in on

    # Emitting

    def probe(self, name: str) -> Probe:
        """Return the probe of an event: the fast way to emit it often.

        :raises TraceError: there is no such event
        """
        try:
            return self._probes[name]
        except KeyError:
            self.events.event(name)
            raise

    def emit(self, name: str, *args: Value) -> None:
        """Emit an event, if it is on.

        :raises TraceError: there is no such event, or the arguments do not go with its declaration
        """
        self.probe(name)(*args)

    def subscribe(self, callback: Callable[[Record], None]) -> Callable[[], None]:
        """Have *callback* called with each record, in the thread that emits, after it was kept.

        What the callback raises comes out of the emit.

        :return: call it to end the subscription
        """
        self._subscribers = (*self._subscribers, callback)

        def unsubscribe() -> None:
            self._subscribers = tuple(other for other in self._subscribers if other is not callback)

        return unsubscribe

    def _fire(self, number: int, event: Event) -> Callable[..., None]:
        layout = struct.Struct("=QIHH" + "".join(map(_code, event.arguments)))
        pack, append = layout.pack, self._words.frombytes
        clock, thread, count = self._clock, self._thread, len(event.arguments)
        texts = tuple(i for i, argument in enumerate(event.arguments) if argument.type.is_text)
        bools = tuple(i for i, a in enumerate(event.arguments) if a.type.base == "bool" and not a.type.stars)
        string_ids = self._string_ids

        def fire(*args: Value) -> None:
            words: list[Any] = list(args)
            try:
                for at in texts:
                    found = string_ids.get(words[at])
                    words[at] = self._intern(words[at]) if found is None else found
                for at in bools:
                    words[at] = (False, True).index(words[at])
                now = clock()
                # One call appends the whole record; see "Threads" above.
                append(pack(now, thread(), number, count, *words))
            except (struct.error, TypeError, ValueError, IndexError) as error:
                raise _misfit(event, args, error) from None
            if self._subscribers:
                record = Record(now, thread(), event, tuple(args))
                for callback in self._subscribers:
                    callback(record)

        return fire

    def _intern(self, text: Value) -> int:
        if text is not None and not isinstance(text, str):
            raise TypeError
        text = None if text is None else str.__str__(text)  # of a StrEnum, the plain string
        with self._strings_lock:
            if text not in self._string_ids:
                self._strings.append(text)
                self._string_ids[text] = len(self._strings) - 1  # last: a reader may look it up from here on
            return self._string_ids[text]

    # Reading

    def _index(self) -> int:
        """Find the records that came since the last look; return how many there are in all."""
        with self._index_lock:
            position, base = self._indexed, self._indexed
            fresh = self._words[base:]  # a copy: a view of it would stop the writers
            starts, end = self._starts, base + len(fresh)
            shift = 48 if _FIRST else 0
            while position < end:
                starts.append(position)
                position += 2 + ((fresh[position - base + 1] >> shift) & 0xFFFF)
            self._indexed = position
            return len(starts)

    def _record(self, index: int) -> Record:
        start = self._starts[index]
        now, head = self._words[start], self._words[start + 1]
        thread, number = (
            (head & 0xFFFFFFFF, head >> 32 & 0xFFFF) if _FIRST else (head >> 32, head >> 16 & 0xFFFF)
        )
        event = self._by_id[number]
        values: list[Value] = []
        for at, argument in enumerate(event.arguments, start + 2):
            word: int = self._words[at]
            type_ = argument.type
            if type_.is_text:
                values.append(self._strings[word])
                continue
            word &= (1 << type_.bits) - 1
            negative = type_.signed and not type_.stars and word >> (type_.bits - 1)
            values.append(word - (1 << type_.bits) if negative else word)
        return Record(now, thread, event, tuple(values))

    def __len__(self) -> int:
        return self._index()

    @overload
    def __getitem__(self, index: int) -> Record: ...
    @overload
    def __getitem__(self, index: slice) -> list[Record]: ...
    def __getitem__(self, index: int | slice) -> Record | list[Record]:
        """Return a record, or a list of them, in the order in which they were emitted."""
        count = len(self)
        if isinstance(index, slice):
            return [self._record(i) for i in range(*index.indices(count))]
        if not -count <= index < count:
            raise IndexError(f"record {index} of {count}")
        return self._record(index % count)

    def __iter__(self) -> Iterator[Record]:
        """Go over the records that are there now."""
        return (self._record(i) for i in range(len(self)))

    def __repr__(self) -> str:
        return f"<Tracer {len(self)} records, {len(self._enabled)} of {len(self.events)} events on>"

    @property
    def nbytes(self) -> int:
        """Bytes that the records take, strings not counted."""
        return 8 * (len(self._words) + len(self._starts))

    def to_pandas(self, event: str | None = None, *, text: bool = True) -> pd.DataFrame:
        """Return the records as a frame, one row each; see :func:`vfiokit.trace.frames.to_frame`.

        :raises MissingExtraError: pandas is not installed
        :raises TraceError: there is no such event
        """
        from vfiokit.trace.frames import to_frame

        chosen = self.events.event(event) if event is not None else None
        return to_frame(self, chosen, text=text)


def _misfit(event: Event, args: tuple[object, ...], error: Exception) -> TraceError:
    """Find which argument does not go with the declaration."""
    rule = f"declared in {event.source}:{event.line}: {event}"
    if len(args) != len(event.arguments):
        return TraceError(f"{event.name} takes {len(event.arguments)} arguments, not {len(args)}", rule=rule)
    for argument, value in zip(event.arguments, args, strict=True):
        type_ = argument.type
        if type_.is_text:
            if value is not None and not isinstance(value, str):
                return TraceError(
                    f"{event.name}: {argument.name} is {value!r}: not a string or None", rule=rule
                )
            continue
        if not hasattr(value, "__index__"):
            return TraceError(f"{event.name}: {argument.name} is {value!r}: not an integer", rule=rule)
        low, high = type_.range
        if not low <= int(value) <= high:
            message = f"{event.name}: {argument.name} is {value}: a {argument.ctype} is {low} to {high}"
            return TraceError(message, rule=rule)
    return TraceError(f"{event.name}: clock or thread id out of range: {error}", hint="both are unsigned")
