"""The commands of the terminal debugger, one table: names, gdb's short forms, help, and what they do."""

from __future__ import annotations

import errno as _errno
import shlex
from collections.abc import Callable
from typing import NamedTuple

from vfiokit.console import display
from vfiokit.console.places import parse_place
from vfiokit.debugger import Breakpoint, Debugger, Stop
from vfiokit.debugger.conditions import number
from vfiokit.errors import AddressError, VfioError

__all__ = ("COMMANDS", "Command", "Commands", "QuitRequested")


class QuitRequested(Exception):  # noqa: N818 - no error
    """The user wants to leave."""


class Command(NamedTuple):
    """One command."""

    name: str
    short: tuple[str, ...]
    arguments: str
    help: str


COMMANDS: tuple[Command, ...] = (
    Command("step", ("s", "si"), "[N]", "perform one access, or N"),
    Command("next", ("n",), "", "go on to the next callback: save_pending, save_iterate, a state change"),
    Command("until", ("u", "advance"), "PLACE", "run until PLACE, see `help break`"),
    Command("finish", ("c", "continue", "fin"), "", "run to the end or to a breakpoint"),
    Command("cancel", (), "", "cancel the migration here; the cancel path is run"),
    Command(
        "force", (), "ERRNO | VALUE", "perform the next access, which fails with ERRNO or reads VALUE instead"
    ),
    Command(
        "break", ("b", "br"), "PLACE", "stop there: an event, read REGISTER, state NAME, pending < 1M, if …"
    ),
    Command("tbreak", ("tb",), "PLACE", "stop there once"),
    Command("watch", ("w",), "REGISTER [if …]", "stop when a register's value changes"),
    Command("ignore", (), "NUMBER COUNT", "pass over a breakpoint's next COUNT hits"),
    Command("delete", ("d",), "[NUMBER]", "delete a breakpoint, or all"),
    Command("disable", (), "NUMBER", "switch a breakpoint off"),
    Command("enable", (), "NUMBER", "switch it on again"),
    Command("info", ("i", "status"), "[breakpoints|events|accesses|dirty]", "show the moment, or a list"),
    Command("list", ("l",), "[N]", "the last accesses and what they gave"),
    Command("where", ("bt", "backtrace"), "", "the flow's frames: what the migration is doing"),
    Command("print", ("p",), "[NAME]", "what a condition may name, with its value"),
    Command("rewind", ("at",), "N", "show the session as it was after N accesses"),
    Command("side", (), "source|destination|both", "step one side only, or both together"),
    Command("save", (), "FOLDER", "keep the recording"),
    Command("help", ("h", "?"), "[COMMAND]", "this"),
    Command("quit", ("q", "exit"), "", "leave; a migration in progress is cancelled"),
)

_BY_NAME = {name: command for command in COMMANDS for name in (command.name, *command.short)}


class Commands:
    """Carries commands out on a debugger and returns the lines to be shown."""

    def __init__(self, debugger: Debugger) -> None:
        self.debugger = debugger
        self.side: str | None = None
        self.failed = False  # a command could not be carried out

    def run(self, line: str) -> list[str]:
        """Carry one line out; what is wrong with it comes as lines, too."""
        try:
            words = shlex.split(line, comments=True)
        except ValueError as error:
            self.failed = True
            return [f"{line!r}: {error}"]
        if not words:
            return []
        command = _BY_NAME.get(words[0]) or self._prefix(words[0])
        if command is None:
            self.failed = True
            return [f"no command {words[0]!r}; `help` lists them"]
        action: Callable[[list[str]], list[str]] = getattr(self, f"_{command.name}")
        try:
            return action(words[1:])
        except VfioError as error:
            self.failed = True
            return str(error).splitlines()

    def _prefix(self, word: str) -> Command | None:
        found = [command for command in COMMANDS if command.name.startswith(word)]
        return found[0] if len(found) == 1 else None

    def complete(self, line: str) -> list[str]:
        """Return the words that may stand at the end of *line*."""
        words = line.split(" ")
        if len(words) == 1:
            return [command.name for command in COMMANDS if command.name.startswith(words[0])]
        return [word for word in _places() if word.startswith(words[-1])]

    # Running

    def _step(self, words: list[str]) -> list[str]:
        count = number(words[0]) if words else 1
        start = len(self.debugger.history)
        stop = self.debugger.step(self.side, count=count)
        done = self.debugger.history[start:]
        return [*display.last_lines(self.debugger.history, min(len(done), 10)), *self._stopped(stop)]

    def _next(self, words: list[str]) -> list[str]:  # noqa: ARG002
        return self._stopped(self.debugger.next(self.side))

    def _until(self, words: list[str]) -> list[str]:
        return self._stopped(self.debugger.run_to(Breakpoint(**parse_place(words), temporary=True)))

    def _finish(self, words: list[str]) -> list[str]:  # noqa: ARG002
        return self._stopped(self.debugger.finish())

    def _cancel(self, words: list[str]) -> list[str]:  # noqa: ARG002
        return self._stopped(self.debugger.cancel())

    def _force(self, words: list[str]) -> list[str]:
        if len(words) != 1:
            raise AddressError("force what?", hint="EIO, or a number for the register's value")
        code = getattr(_errno, words[0].upper(), None)
        if isinstance(code, int):
            return self._stopped(self.debugger.step(self.side, errno=code))
        return self._stopped(self.debugger.step(self.side, value=number(words[0])))

    def _stopped(self, stop: Stop) -> list[str]:
        lines = []
        if stop.breakpoint is not None:
            lines.append(f"breakpoint {stop.breakpoint}")
        elif stop.reason == "starved":
            lines.append("the destination waits for the source")
        if stop.refused is not None:
            lines += str(stop.refused).splitlines()
        if stop.error is not None:
            lines += str(stop.error).splitlines()
        elif stop.reason == "ended":
            lines.append("the migration has ended")
        if not stop.ended:
            lines += display.next_lines(self.debugger)
        return lines

    # Stopping

    def _break(self, words: list[str]) -> list[str]:
        return [f"breakpoint {self.debugger.add(Breakpoint(**parse_place(words)))}"]

    def _tbreak(self, words: list[str]) -> list[str]:
        return [f"breakpoint {self.debugger.add(Breakpoint(**parse_place(words), temporary=True))}, once"]

    def _watch(self, words: list[str]) -> list[str]:
        if not words:
            raise AddressError("watch what?", hint="a register, as pending_bytes")
        place = parse_place(words[1:]) if words[1:] else {}
        return [f"watchpoint {self.debugger.add(Breakpoint(watch=words[0], **place))}"]

    def _point(self, words: list[str]) -> Breakpoint:
        wanted = number(words[0]) if words else 0
        for point in self.debugger.breakpoints:
            if point.number == wanted:
                return point
        raise AddressError(f"no breakpoint {wanted}", hint="`info breakpoints` lists them")

    def _ignore(self, words: list[str]) -> list[str]:
        point = self._point(words)
        point.ignore = number(words[1]) if len(words) > 1 else 1
        return [str(point)]

    def _delete(self, words: list[str]) -> list[str]:
        if words:
            self.debugger.breakpoints.remove(self._point(words))
        else:
            self.debugger.breakpoints.clear()
        return []

    def _disable(self, words: list[str]) -> list[str]:
        self._point(words).enabled = False
        return []

    def _enable(self, words: list[str]) -> list[str]:
        self._point(words).enabled = True
        return []

    # Looking

    def _info(self, words: list[str]) -> list[str]:
        what = words[0] if words else ""
        if what.startswith("b"):
            return [str(point) for point in self.debugger.breakpoints] or ["no breakpoints"]
        if what.startswith("e"):
            return display.event_lines(self.debugger.history, 20) or ["no events"]
        if what.startswith("d"):
            runs = self.debugger.dirtied(number(words[1]) if len(words) > 1 else None)
            return [f"pages {first:#x} to {first + pages - 1:#x}" for first, pages in runs] or [
                "none reported"
            ]
        if what.startswith("a"):
            return display.last_lines(self.debugger.history, 20)
        return [
            *display.moment_lines(self.debugger.moment),
            *(f"event {line}" for line in display.event_lines(self.debugger.history, 3)),
            *display.next_lines(self.debugger),
        ]

    def _list(self, words: list[str]) -> list[str]:
        return display.last_lines(self.debugger.history, number(words[0]) if words else 10)

    def _where(self, words: list[str]) -> list[str]:  # noqa: ARG002
        return [f"#{depth} {frame}" for depth, frame in enumerate(reversed(self.debugger.where(self.side)))]

    def _print(self, words: list[str]) -> list[str]:
        names = self.debugger.moment.names(self.side or self.debugger.side, self.debugger.next_access)
        if words and words[0] not in names:
            raise AddressError(f"{words[0]!r} is not known yet", hint=", ".join(sorted(names)))
        shown = words or sorted(names)
        return [f"{name} = {names[name]:#x} ({names[name]})" for name in shown]

    def _rewind(self, words: list[str]) -> list[str]:
        if not words:
            raise AddressError("rewind to where?", hint=f"0 to {len(self.debugger.history)}")
        wanted = number(words[0])
        return [
            *display.moment_lines(self.debugger.at(wanted)),
            *display.last_lines(self.debugger.history[:wanted], 3),
        ]

    def _side(self, words: list[str]) -> list[str]:
        wanted = words[0] if words else ""
        if wanted not in ("both", *self.debugger.ends):
            raise AddressError(f"no side {wanted!r}", hint=f"{', '.join(self.debugger.ends)} or both")
        self.side = None if wanted == "both" else wanted
        return display.next_lines(self.debugger)

    def _save(self, words: list[str]) -> list[str]:
        if not words:
            raise AddressError("save where?", hint="a folder, as bringup.vfk")
        self.debugger.recording.save(words[0])
        return [f"kept in {words[0]}"]

    def _help(self, words: list[str]) -> list[str]:
        if words:
            command = _BY_NAME.get(words[0])
            if command is None:
                raise AddressError(f"no command {words[0]!r}")
            if command.name in ("break", "until", "tbreak"):
                from vfiokit.console import places

                return [
                    f"{command.name} {command.arguments}: {command.help}",
                    *(places.__doc__ or "").splitlines(),
                ]
            return [f"{command.name} {command.arguments}: {command.help}"]
        return [f"{', '.join((c.name, *c.short)):<24} {c.arguments:<24} {c.help}" for c in COMMANDS]

    def _quit(self, words: list[str]) -> list[str]:  # noqa: ARG002
        raise QuitRequested


def _places() -> list[str]:
    from vfiokit.trace import load
    from vfiokit.uapi.migration_v5 import REGISTERS

    return [
        *load("v5"),
        *REGISTERS,
        *("read", "write", "put", "take", "state", "pending", "turn", "time", "if", "device", "side"),
        *("stop-and-copy", "pre-copy", "running", "stopped", "resuming", "source", "destination", "both"),
        *("breakpoints", "events", "accesses", "dirty"),
    ]
