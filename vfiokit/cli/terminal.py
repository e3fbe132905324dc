"""Reading lines: from a script, a pipe, or a person with history and completion."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from pathlib import Path

import click

from vfiokit.console.commands import Commands, QuitRequested

__all__ = ("run_script", "run_terminal")


def run_script(commands: Commands, lines: Iterable[str], *, echo: bool = True) -> bool:
    """Carry the lines of a script out; return whether the user wants to go on (no ``quit`` was met)."""
    for line in lines:
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        if echo:
            click.echo(f"(vfiokit) {text}")
        try:
            for shown in commands.run(text):
                click.echo(shown)
        except QuitRequested:
            return False
    return True


def run_terminal(commands: Commands) -> None:
    """Read lines from a person until ``quit`` or the end of input; an empty line repeats the last one."""
    if not sys.stdin.isatty():
        run_script(commands, sys.stdin)
        return
    from prompt_toolkit import PromptSession
    from prompt_toolkit.completion import Completer, Completion
    from prompt_toolkit.history import FileHistory, History, InMemoryHistory

    class Words(Completer):
        def get_completions(self, document, complete_event):  # type: ignore[no-untyped-def]  # noqa: ARG002
            line = document.text_before_cursor
            for word in commands.complete(line):
                yield Completion(word, start_position=-len(line.split(" ")[-1]))

    history: History
    try:
        place = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "vfiokit"
        place.mkdir(parents=True, exist_ok=True)
        history = FileHistory(str(place / "history"))
    except OSError:  # the lab's guest, where nothing can be written
        history = InMemoryHistory()
    session: PromptSession[str] = PromptSession(
        history=history, completer=Words(), complete_while_typing=False
    )
    last = ""
    while True:
        try:
            line = session.prompt("(vfiokit) ").strip() or last
        except KeyboardInterrupt:
            continue
        except EOFError:
            return
        last = line
        try:
            for shown in commands.run(line):
                click.echo(shown)
        except QuitRequested:
            return
