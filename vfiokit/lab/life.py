"""A guest's life, from QEMU's first byte to the command's exit status.

The guest tells how far it is by files in the control folder (``lab/guest/init`` names
them); here they are watched, the command's output is passed on as it grows, and each
way of not getting to the end becomes a :class:`~vfiokit.errors.LabError` with the
last words of QEMU and of the guest's kernel.
"""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, BinaryIO

from vfiokit.errors import LabError

__all__ = ("BOOT_TIMEOUT", "PATIENCE", "Result", "failure", "live")

BOOT_TIMEOUT = 180.0
"""Seconds that a guest may take until its command starts; 5 to 15 are usual."""

PATIENCE = 10.0
"""Seconds that a guest may take to power off once the command has ended."""

DEATHS = ("Kernel panic", "BUG: ", "Oops: ", "general protection fault")
"""How a kernel's last words start; the call trace that follows is less telling than what came before."""


@dataclass(frozen=True, slots=True)
class Result:
    """What came of a command in a guest.

    :param returncode: the command's exit status; 128 + n if signal n ended it
    :param output: what it printed, stdout and stderr as they came
    :param console: the guest's console: the kernel's warnings and the lab's own lines
    :param log: the kernel's whole log (dmesg) at the end
    :param seconds: from QEMU's start to its end
    :param boot_seconds: from QEMU's start to the command's
    """

    returncode: int
    output: str = field(repr=False)
    console: str = field(repr=False)
    log: str = field(repr=False)
    seconds: float
    boot_seconds: float


def live(
    argv: Sequence[str], work: Path, words: IO[bytes], *, timeout: float, tee: BinaryIO | None, terminal: bool
) -> Result:
    """Start QEMU and stay with it until it ends; its failure or ours leaves none behind.

    :param argv: QEMU's command line
    :param work: the guest's working folder, with ``control`` and ``console``
    :param words: where QEMU's own messages go, ``work/qemu``
    :param timeout: seconds from the command's start to its end
    :param tee: where the command's output is written as it comes
    :param terminal: QEMU gets this process's stdin and stdout
    :raises LabError: the guest did not start, hung, died, or the command took too long
    """
    start = time.monotonic()
    # A guest whose owner was killed ends with it, where util-linux is there to see to that.
    setpriv = shutil.which("setpriv")
    if setpriv is not None:
        argv = [setpriv, "--pdeathsig", "TERM", *argv]
    process = subprocess.Popen(
        argv,
        stdin=None if terminal else subprocess.DEVNULL,
        stdout=None if terminal else words,
        stderr=words,
    )
    try:
        return _follow(process, work, start, timeout=timeout, tee=tee)
    finally:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _follow(
    process: subprocess.Popen[bytes], work: Path, start: float, *, timeout: float, tee: BinaryIO | None
) -> Result:
    control = work / "control"
    output = bytearray()
    booted: float | None = None
    ended: float | None = None
    with (control / "output").open("rb") as source:
        while True:
            gone = process.poll() is not None
            now = time.monotonic()
            new = source.read()
            if new:
                output += new
                if tee is not None:
                    tee.write(new)
                    tee.flush()
            if booted is None and (control / "ready").exists():
                booted = now
            if ended is None and (control / "status").exists():
                ended = now
            if gone:
                break
            if booted is None and now - start > BOOT_TIMEOUT:
                raise failure(f"the guest was not ready after {BOOT_TIMEOUT:.0f} s", work)
            if booted is not None and ended is None and now - booted > timeout:
                raise failure(f"the command was still running after {timeout:.0f} s", work)
            if ended is not None and now - ended > PATIENCE:
                break
            time.sleep(0.02)
    if (control / "failure").exists():
        raise failure(f"the guest could not run the command: {_text(control / 'failure').strip()}", work)
    if booted is None or not (control / "status").exists():
        when = "before the command started" if booted is None else "while the command ran"
        died = any(sign in _text(work / "console") for sign in DEATHS)
        what = "the guest's kernel died" if died else f"QEMU ended (exit status {process.returncode})"
        raise failure(f"{what} {when}", work)
    return Result(
        returncode=int(_text(control / "status")),
        output=output.decode("utf-8", "replace"),
        console=_text(work / "console"),
        log=_text(control / "dmesg"),
        seconds=time.monotonic() - start,
        boot_seconds=booted - start,
    )


def failure(what: str, work: Path) -> LabError:
    """Return the error for *what* happened, with the last words of QEMU and of the guest's console."""
    text = what
    for name, title in (("qemu", "QEMU said"), ("console", "the console said at last")):
        last = _telling(_text(work / name).strip().splitlines())
        if last:
            text += f"\n{title}:\n" + "\n".join(f"    {line}" for line in last)
    return LabError(text)


def _telling(lines: Sequence[str], count: int = 25) -> Sequence[str]:
    """Return the lines worth showing: those about the kernel's death, else the last."""
    for index, line in enumerate(lines):
        if any(sign in line for sign in DEATHS):
            first = max(0, index - count // 2)
            return lines[first : first + count]
    return lines[-count:]


def _text(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8", "replace").replace("\r\n", "\n")
    except FileNotFoundError:
        return ""
