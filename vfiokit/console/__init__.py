"""The debugger's commands as lines of text: one table for the terminal, the notebook's magics and panel."""

from vfiokit.console.commands import COMMANDS, Command, Commands, QuitRequested
from vfiokit.console.places import parse_place

__all__ = ("COMMANDS", "Command", "Commands", "QuitRequested", "parse_place")
