"""One trace event that happened: when, in which thread, which, and its arguments."""

from __future__ import annotations

from dataclasses import dataclass

from vfiokit.trace.formats import Value, compile_format
from vfiokit.trace.grammar import Event

__all__ = ("Record",)


@dataclass(frozen=True, slots=True)
class Record:
    """An event that happened.

    :param time_ns: Unix time in nanoseconds; None if a log did not tell
    :param thread: the kernel's thread id; None if a log did not tell
    :param event: its declaration
    :param args: its arguments in the order of the declaration
    """

    time_ns: int | None
    thread: int | None
    event: Event
    args: tuple[Value, ...]

    @property
    def name(self) -> str:
        """The event's name."""
        return self.event.name

    @property
    def text(self) -> str:
        """The text that QEMU would print behind the name and one blank; made when asked for."""
        return compile_format(self.event).text(self.args)

    @property
    def line(self) -> str:
        """The line of QEMU's log backend: ``TID@SEC.USEC:NAME TEXT`` and a new-line (v5 spec 8.3).

        Microseconds are cut, not rounded. Without a time the line starts with the name.
        """
        prefix = ""
        if self.time_ns is not None:
            seconds, rest = divmod(self.time_ns, 1_000_000_000)
            prefix = f"{self.thread or 0}@{seconds}.{rest // 1000:06d}:"
        return f"{prefix}{self.event.name} {self.text}\n"

    def __getitem__(self, argument: str) -> Value:
        """Return an argument by its name; raises KeyError if the event has none of it."""
        for declared, value in zip(self.event.arguments, self.args, strict=False):
            if declared.name == argument:
                return value
        raise KeyError(argument)

    def __str__(self) -> str:
        return self.line.rstrip("\n")
