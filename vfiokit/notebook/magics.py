"""``%vfio``: the terminal's commands in a cell, on the debugger that the notebook has; ``%%vfio_record``.

::

    %vfio step 5
    %vfio until vfio_save_iterate
    %vfio status
    %vfio help

    %%vfio_record run
    vfiokit.migrate(source, destination)

A debugger is found by its name: ``dbg``, or the only one that the notebook has; ``%vfio use NAME`` chooses
another. ``%%vfio_record NAME`` records every run that the cell begins and calls the recording NAME, or the
list of them when there are several. ``-o FOLDER`` keeps it as well.
"""

from __future__ import annotations

import argparse
import shlex
from typing import NoReturn

from IPython.core.error import UsageError
from IPython.core.interactiveshell import InteractiveShell
from IPython.core.magic import Magics, cell_magic, line_magic, magics_class

from vfiokit.console import Commands
from vfiokit.debugger import Debugger
from vfiokit.errors import AddressError, VfioError
from vfiokit.recording import Recording, recordings

__all__ = ("VfioMagics",)

_DEFAULT = "dbg"


@magics_class
class VfioMagics(Magics):
    """The magics; registered by ``%load_ext vfiokit``."""

    def __init__(self, shell: InteractiveShell) -> None:
        super().__init__(shell)
        self._shell = shell
        self._chosen = ""
        self._commands: tuple[Debugger, Commands] | None = None

    @line_magic
    def vfio(self, line: str) -> None:
        """Carry out a command of the debugger: step, until PLACE, status …; ``%vfio help`` lists them."""
        first, _, rest = line.strip().partition(" ")
        if first == "use":
            self._chosen = rest.strip()
            self._debugger()
            return
        commands = self._of(self._debugger())
        commands.failed = False
        for shown in commands.run(line or "status"):
            print(shown)  # noqa: T201 - a magic's output

    def _of(self, debugger: Debugger) -> Commands:
        if self._commands is None or self._commands[0] is not debugger:
            self._commands = debugger, Commands(debugger)
        return self._commands[1]

    def _debugger(self) -> Debugger:
        names = self._shell.user_ns
        if self._chosen:
            found = names.get(self._chosen)
            if not isinstance(found, Debugger):
                raise UsageError(f"{self._chosen!r} is no debugger: {self._chosen} = vfiokit.debug(source)")
            return found
        there = {
            name: value
            for name, value in names.items()
            if isinstance(value, Debugger) and not name.startswith("_")
        }
        if _DEFAULT in there:
            return there[_DEFAULT]
        different = {id(value): value for value in there.values()}
        if len(different) == 1:
            return next(iter(different.values()))
        hint = f"%vfio use {next(iter(there))}" if there else f"{_DEFAULT} = vfiokit.debug(source)"
        raise UsageError(f"there are {len(there)} debuggers here; {hint}")

    @cell_magic
    def vfio_record(self, line: str, cell: str) -> None:
        """Record every run that the cell begins: ``%%vfio_record [NAME] [-o FOLDER]``."""
        name, folder = _record_arguments(line)
        with recordings() as made:
            result = self._shell.run_cell(cell)  # type: ignore[no-untyped-call]
        if not made:
            print("nothing was recorded: the cell began no migration and no debugger")  # noqa: T201
        elif name is not None:
            found: Recording | list[Recording] = made[0] if len(made) == 1 else made
            self._shell.user_ns[name] = found
            print(f"{name} = {found!r}")  # noqa: T201
        if folder is not None and made:
            self._keep(made, folder)
        # run_cell has shown the error; a notebook that is run as a whole stops here all the same.
        result.raise_error()

    def _keep(self, made: list[Recording], folder: str) -> None:
        try:
            for number, recording in enumerate(made):
                recording.save(folder if len(made) == 1 else f"{folder}-{number}")
        except VfioError as error:
            raise UsageError(str(error)) from error


class _Arguments(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message}; %%vfio_record [NAME] [-o FOLDER]")


def _record_arguments(line: str) -> tuple[str, str | None]:
    parser = _Arguments(prog="%%vfio_record", add_help=False)
    parser.add_argument("name", nargs="?", default="recording")
    parser.add_argument("-o", dest="folder")
    found = parser.parse_args(shlex.split(line))
    if not found.name.isidentifier():
        raise UsageError(str(AddressError(f"{found.name!r} is no name for a variable")))
    return found.name, found.folder
