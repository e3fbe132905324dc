"""Start a guest by one call: for a command, or for a terminal.

Everything that a guest needs is found or made on the way: the kernel, the driver, and
which of the caller's paths lie where the guest has folders of its own.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import BinaryIO

from vfiokit.errors import LabError
from vfiokit.lab.build import DRIVER_SOURCE, build_driver
from vfiokit.lab.cache import Progress, cache_folder, prepare
from vfiokit.lab.guest import QEMU, Guest
from vfiokit.lab.life import Result
from vfiokit.lab.machines import DEFAULT
from vfiokit.lab.machines import machine as find_machine

__all__ = ("available", "guest_for", "run", "shell")

HIDDEN = (Path("/tmp"), Path("/run"), Path("/dev"))  # noqa: S108
"""The guest has its own of these."""


def available() -> str | None:
    """Return None if the lab can start here, else why not, in words."""
    if os.uname().machine != "x86_64":
        return f"the lab's guest is x86_64 and this machine is {os.uname().machine}"
    if shutil.which(QEMU) is None:
        return f"there is no {QEMU} here: apt-get install qemu-system-x86"
    if (DRIVER_SOURCE / "Kbuild").exists():
        for tool in ("gcc", "make"):
            if shutil.which(tool) is None:
                return f"there is no {tool} here to build the lab's driver: apt-get install {tool}"
    if (cache_folder() / "kernel" / "release").exists():
        return None
    for tool in ("apt-get", "apt-cache", "dpkg-deb"):
        if shutil.which(tool) is None:
            return f"the lab has no kernel yet, and there is no {tool} here to fetch one"
    return None


def run(
    argv: Sequence[str],
    *,
    machine: str = DEFAULT,
    timeout: float = 600.0,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    memory_mib: int = 1024,
    tee: BinaryIO | None = None,
    writable: Sequence[Path] = (),
    visible: Sequence[Path] = (),
    parameters: Mapping[str, object] | None = None,
    driver: Path | None = None,
    progress: Progress | None = None,
) -> Result:
    """Run a command in a fresh guest; prepare the lab and build the driver if need be.

    :param argv: the command and its arguments
    :param machine: a name of :data:`vfiokit.lab.MACHINES`
    :param timeout: seconds that the command may take, not counting the boot
    :param env: variables on top of those that a guest's command has anyway
    :param cwd: working folder, by default the caller's
    :param memory_mib: the guest's memory, MiB
    :param tee: where to write the command's output as it comes, such as ``sys.stdout.buffer``
    :param writable: folders that the command may write; all else is read-only or the guest's own
    :param visible: paths under ``/tmp``, ``/run`` or ``/dev/shm`` that the guest shall see
    :param parameters: module parameters of the lab's driver
    :param driver: a driver folder or a built ``.ko`` to load instead of the lab's own
    :param progress: called with a line of text at each step
    :raises LabError: the lab cannot start here, or the guest did not get to the command's end
    """
    guest = guest_for(argv, machine, cwd, memory_mib, writable, visible, parameters, driver, progress)
    return guest.run(argv, timeout=timeout, env=env, cwd=cwd, tee=tee)


def shell(
    argv: Sequence[str] = (),
    *,
    machine: str = DEFAULT,
    env: Mapping[str, str] | None = None,
    memory_mib: int = 1024,
    writable: Sequence[Path] = (),
    parameters: Mapping[str, object] | None = None,
    driver: Path | None = None,
    progress: Progress | None = None,
) -> int:
    """Give the terminal to a shell in a fresh guest, or to a command; return its exit status.

    :param argv: a command, by default the host's bash
    :raises LabError: this process has no terminal, or as for :func:`run`
    """
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise LabError("a shell needs a terminal on stdin and stdout", hint="vfiokit lab run -- COMMAND")
    argv = list(argv) or [shutil.which("bash") or "sh", "-i"]
    guest = guest_for(argv, machine, None, memory_mib, writable, (), parameters, driver, progress)
    return guest.run(argv, timeout=24 * 3600.0, env=env, terminal=True).returncode


def guest_for(
    argv: Sequence[str],
    machine: str,
    cwd: Path | None,
    memory_mib: int,
    writable: Sequence[Path],
    visible: Sequence[Path],
    parameters: Mapping[str, object] | None,
    driver: Path | None,
    progress: Progress | None,
) -> Guest:
    """Return the guest to start for a command, with kernel and driver made; parameters as of `run`."""
    row = find_machine(machine)
    reason = available()
    if reason is not None:
        raise LabError(f"the lab cannot start here: {reason}")
    kernel = prepare(progress)
    if driver is None and "mdev" in row.modules and (DRIVER_SOURCE / "Kbuild").exists():
        driver = DRIVER_SOURCE
    if driver is not None and not driver.exists():
        raise LabError(f"there is no driver {driver}", rule="a folder with a Kbuild file, or a built .ko")
    if driver is not None and driver.is_dir():
        driver = build_driver(kernel, driver, progress)
    folders = tuple(_folder(path) for path in writable)
    wanted = [
        cwd or Path.cwd(),
        kernel.folder,
        Path(__file__).parents[2],
        Path(sys.prefix),
        Path(sys.base_prefix),
    ]
    wanted += [*visible, *(Path(word) for word in argv if word.startswith("/"))]
    if progress is not None:
        progress(f"starting the guest: {row.text}")
    return Guest(
        kernel,
        row,
        driver.absolute() if driver is not None else None,
        parameters or {},
        memory_mib,
        tuple(_hidden(wanted)),
        folders,
    )


def _folder(path: Path) -> Path:
    absolute = path.absolute()
    if not absolute.is_dir() or "\n" in str(absolute):
        raise LabError(f"{absolute} cannot be shared with the guest: it is not a folder")
    return absolute


def _hidden(paths: Sequence[Path]) -> list[Path]:
    """Return those paths that the guest's own /tmp, /run and /dev would hide."""
    found: list[Path] = []
    # A path may lead there through a link only: the folder behind it must be shown then.
    for path in sorted({way for given in paths for way in (given.absolute(), given.resolve())}):
        inside = any(top in path.parents for top in HIDDEN)
        usable = path.is_dir() or path.is_file()
        if inside and usable and not any(path.is_relative_to(shown) for shown in found):
            found.append(path)
    return found
