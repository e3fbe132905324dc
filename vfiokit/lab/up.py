"""A guest that stays, with the kernel's devices in reach of the host: ``vfiokit lab up``.

::

    from vfiokit import lab
    lab.up(print)
    with vfiokit.open("lab:v5") as device:      # the guest's real device, from here
        device.pread(7, 0, 4)
    lab.down()

There is one such guest a user. It is no child of who started it, lives until `down`, and ends by itself
after `LIFETIME`.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from vfiokit.errors import LabError
from vfiokit.lab.cache import Progress
from vfiokit.lab.command import guest_for
from vfiokit.lab.guest import Guest
from vfiokit.lab.life import BOOT_TIMEOUT, failure
from vfiokit.lab.machines import AGENT, DEFAULT, Machine
from vfiokit.lab.machines import machine as find_machine
from vfiokit.lab.running import (
    Running,
    boot_id,
    clear,
    end_process,
    process_start,
    read_state,
    state_folder,
)
from vfiokit.lab.slots import slots

__all__ = ("LIFETIME", "SHARED_MIB", "down", "status", "up")

LIFETIME = 8 * 3600.0
"""Seconds after which a guest that nobody ended powers off."""

SHARED_MIB = 1024
"""Memory that host and guest share, for DMA; only what is used takes room."""


def up(
    progress: Progress | None = None,
    *,
    machine: str = DEFAULT,
    memory_mib: int = 1024,
    shared_mib: int = SHARED_MIB,
    parameters: Mapping[str, object] | None = None,
    driver: Path | None = None,
) -> Running:
    """Start the guest and leave it running, or return the one that runs.

    :param progress: called with a line of text at each step
    :param machine: a name of :data:`vfiokit.lab.MACHINES`
    :param memory_mib: the guest's memory, MiB
    :param shared_mib: memory for DMA that host and guest share, MiB, a power of two
    :param parameters: module parameters of the lab's driver
    :param driver: a driver folder or a built ``.ko`` to load instead of the lab's own
    :raises LabError: the lab cannot start here, the guest did not come up, or another machine is up
    """
    say = progress or _silent
    if shared_mib < 1 or shared_mib & (shared_mib - 1):
        raise LabError(f"shared memory of {shared_mib} MiB", rule="a PCI BAR's size is a power of two")
    row = find_machine(machine)
    with _locked(state_folder(), say) as folder:
        found = read_state(folder)
        if found is not None and found.alive:
            if found.machine != machine:
                raise LabError(
                    f"the lab is up already, with machine {found.machine!r}", hint="`vfiokit lab down` first"
                )
            say(f"the lab is up already (pid {found.pid})")
            return found
        if found is not None:
            say("the last guest has died; starting another")
        clear(folder, found.shared if found else None)
        argv = [sys.executable, "-m", "vfiokit.lab.agent", machine]
        guest = guest_for(argv, machine, Path("/"), memory_mib, (), (), parameters, driver, progress)
        guest = replace(guest, machine=_with_agent(row))
        return _start(guest, argv, folder, shared_mib << 20, say)


def down() -> Running | None:
    """End the guest and remove its files; return what was up, or None when nothing was."""
    folder = state_folder()
    if not folder.exists():
        return None
    with _locked(folder, _silent):
        found = read_state(folder)
        if found is not None:
            found.end()
        else:
            clear(folder)
        return found


def status() -> Running | None:
    """Return the guest that was started, or None; look at its ``alive`` to know that it still is."""
    return read_state(state_folder())


def _silent(text: str) -> None:
    pass


@contextmanager
def _locked(folder: Path, say: Progress) -> Iterator[Path]:
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock = (folder / "lock").open("w")
    except OSError as error:
        raise LabError(f"the lab's state folder {folder} cannot be written: {error.strerror}") from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("waiting for another `vfiokit lab` to finish")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield folder


def _with_agent(row: Machine) -> Machine:
    """Return the machine with a serial port for each device, and with memory shared with the host."""
    qemu = [*row.qemu, "-device", "virtio-serial-pci,id=ports,max_ports=31"]
    for number, slot in enumerate(slots(row), 1):
        # Relative, as a socket's path may have no more than 107 bytes.
        qemu += ["-chardev", f"socket,id=port{number},path={slot.name}.sock,server=on,wait=off"]
        qemu += ["-device", f"virtserialport,bus=ports.0,nr={number},chardev=port{number},name={slot.port}"]
    qemu += ["-device", "ivshmem-plain,memdev=shared"]
    return replace(row, qemu=tuple(qemu), modules=(*AGENT, *row.modules))


def _start(guest: Guest, argv: list[str], folder: Path, size: int, say: Progress) -> Running:
    begin = time.monotonic()
    control = folder / "control"
    control.mkdir()
    (control / "output").touch()
    package = str(Path(__file__).parents[2])
    paths = [package, *filter(None, [os.environ.get("PYTHONPATH")])]
    script = guest.script(argv, {"PYTHONPATH": os.pathsep.join(paths)}, Path("/"))
    (control / "command").write_text(script, encoding="utf-8", errors="surrogateescape")
    (folder / "initrd").write_bytes(guest.initrd(limit=LIFETIME))
    shared = _shared_file(folder, size)
    pid: int | None = None
    try:
        pid = _launch(guest, folder, shared, size)
        started = process_start(pid)
        deadline = begin + BOOT_TIMEOUT
        while not (control / "agent").exists():
            if started is None or process_start(pid) != started:
                raise failure("the guest ended before its agent was there", folder)
            if time.monotonic() > deadline:
                raise failure(f"the guest's agent was not there after {BOOT_TIMEOUT:.0f} s", folder)
            time.sleep(0.02)
        (folder / "initrd").unlink()
        assert started is not None
        running = Running(
            folder=folder,
            pid=pid,
            started=started,
            boot_id=boot_id(),
            machine=guest.machine.name,
            release=guest.kernel.release,
            since=time.time(),
            seconds=round(time.monotonic() - begin, 2),
            shared=shared,
            shared_size=size,
        )
        running.save()
    except BaseException:
        if pid is None and (folder / "pid").exists():  # interrupted while QEMU was leaving us
            pid = int((folder / "pid").read_text() or 0)
        if pid:
            end_process(pid, process_start(pid))
        shared.unlink(missing_ok=True)
        raise
    say(f"up in {running.seconds:.1f} s")
    return running


def _launch(guest: Guest, folder: Path, shared: Path, size: int) -> int:
    """Start QEMU, which leaves us once the machine is made, and return its process."""
    words, pidfile = folder / "qemu", folder / "pid"
    command = guest.command_line(folder / "control", folder / "initrd", folder / "console")
    path = str(shared).replace(",", ",,")
    command += ["-object", f"memory-backend-file,id=shared,mem-path={path},size={size},share=on"]
    # With a log of something, what QEMU says later goes there instead of nowhere.
    command += ["-daemonize", "-pidfile", str(pidfile), "-D", str(words), "-d", "guest_errors"]
    with words.open("ab") as output:
        done = subprocess.run(
            command,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,  # Ctrl-C is for us to handle
            check=False,
        )
    if done.returncode:
        raise failure(f"QEMU ended at once (exit status {done.returncode})", folder)
    return int(pidfile.read_text())


def _shared_file(folder: Path, size: int) -> Path:
    # Memory that is a file on a disk would be written there in the end.
    memory = Path("/dev/shm")  # noqa: S108
    room = memory.is_dir() and os.access(memory, os.W_OK) and shutil.disk_usage(memory).free >= size
    path = memory / f"vfiokit-lab-{os.getpid()}-{time.time_ns():x}" if room else folder / "shared"
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        os.ftruncate(fd, size)
    finally:
        os.close(fd)
    return path
