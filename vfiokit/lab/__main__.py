"""``python -m vfiokit.lab``: the lab without the rest of the command line."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from vfiokit.errors import LabError
from vfiokit.lab import DEFAULT, MACHINES, prepare, run, shell

__all__ = ("main",)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one of ``prepare``, ``run`` and ``shell``; return the exit status.

    The status is the command's own; 125 says that the lab failed, not the command.
    """
    arguments = _parser().parse_args(argv)
    try:
        if arguments.action == "prepare":
            kernel = prepare(_say)
            _say(f"Linux {kernel.release} is ready in {kernel.folder}")
            return 0
        common = {
            "machine": arguments.machine,
            "writable": arguments.writable,
            "parameters": dict(arguments.parameter),
            "memory_mib": arguments.memory,
            "driver": arguments.driver,
            "progress": _say,
        }
        command = arguments.command[1:] if arguments.command[:1] == ["--"] else arguments.command
        if arguments.action == "shell":
            return shell(command, **common)
        result = run(command, timeout=arguments.timeout, tee=sys.stdout.buffer, **common)
        times = f"{result.boot_seconds:.1f} s to boot, {result.seconds:.1f} s in all"
        _say(f"exit status {result.returncode}: {times}")
        return result.returncode
    except LabError as error:
        sys.stderr.write(f"vfiokit lab: {error}\n")
        return 125


def _say(text: str) -> None:
    sys.stderr.write(f"lab: {text}\n")


def _parameter(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not (name and equals):
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=VALUE")
    return name, value


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m vfiokit.lab", description="A guest with a real /dev/vfio."
    )
    actions = parser.add_subparsers(dest="action", required=True)
    actions.add_parser("prepare", help="fetch the guest's kernel")
    for name, text in (("run", "run a command in a guest"), ("shell", "a terminal in a guest")):
        action = actions.add_parser(name, help=text)
        action.add_argument("--machine", choices=MACHINES, default=DEFAULT)
        action.add_argument("--memory", type=int, default=1024, metavar="MIB")
        action.add_argument("--writable", type=Path, action="append", default=[], metavar="FOLDER")
        action.add_argument("--parameter", type=_parameter, action="append", default=[], metavar="NAME=VALUE")
        action.add_argument(
            "--driver", type=Path, default=None, metavar="FOLDER", help="a driver of your own"
        )
        if name == "run":
            action.add_argument("--timeout", type=float, default=600.0, metavar="SECONDS")
        action.add_argument("command", nargs=argparse.REMAINDER, metavar="-- COMMAND …")
    return parser


if __name__ == "__main__":
    sys.exit(main())
