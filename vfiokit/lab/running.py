"""The guest that stays: where its files are, and whether it still lives.

The state folder is ``$XDG_RUNTIME_DIR/vfiokit/lab``, or ``up`` in the lab's cache. In it::

    state.json      the guest's process, its machine and when it started
    NAME.sock       one socket a device: a stream of vfio-user messages (`vfiokit.lab.slots`)
    NAME.lock       who has the device open
    console, qemu   what the guest's kernel and QEMU said
    control/        what init and agent said (``lab/guest/init`` names the files)

The memory that guest and host share is a file in ``/dev/shm`` where there is room, else here.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import select
import shutil
import signal
from dataclasses import asdict, dataclass
from pathlib import Path

from vfiokit.errors import DeviceError, LabError
from vfiokit.lab.cache import cache_folder
from vfiokit.lab.life import PATIENCE, failure

__all__ = ("GuestDiedError", "Running", "end_process", "process_start", "read_state", "state_folder")

_STATE = "state.json"
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class GuestDiedError(LabError, DeviceError):
    """The lab's guest is no more; ``message`` has the last words of its console.

    To flows it is a device that is gone, ENODEV.
    """

    def __init__(self, device: str, operation: str, what: str) -> None:
        hint = "`vfiokit lab up` starts another; until then `vfiokit lab status` has the last words again"
        DeviceError.__init__(self, device, operation, errno.ENODEV, hint=hint)
        self.message = f"{device}: {operation}: {what}"


def state_folder() -> Path:
    """Return the folder of the guest that stays; it may not exist."""
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    if runtime and os.access(runtime, os.W_OK):
        return Path(runtime) / "vfiokit" / "lab"
    return cache_folder() / "up"


@dataclass(frozen=True, slots=True)
class Running:
    """A guest that was started to stay.

    :param folder: its state folder
    :param pid: QEMU's process
    :param started: when that process started, clock ticks since boot: pids come back
    :param boot_id: of the host, as it was then
    :param machine: name of the machine
    :param release: of its kernel
    :param since: Unix time, seconds
    :param seconds: what the start took
    :param shared: the file with the memory that host and guest share
    :param shared_size: its bytes
    """

    folder: Path
    pid: int
    started: int
    boot_id: str
    machine: str
    release: str
    since: float
    seconds: float
    shared: Path
    shared_size: int

    @property
    def alive(self) -> bool:
        """The guest's QEMU is there still."""
        return self.boot_id == boot_id() and process_start(self.pid) == self.started

    def wait(self, seconds: float) -> bool:
        """Wait up to *seconds* for the guest's end; return whether it came."""
        try:
            pidfd = os.pidfd_open(self.pid)
        except OSError:
            return not self.alive
        try:
            if not self.alive:
                return True
            poll = select.poll()
            poll.register(pidfd, select.POLLIN)
            return bool(poll.poll(seconds * 1000))
        finally:
            os.close(pidfd)

    def socket(self, name: str) -> Path:
        """Return the socket of device *name*."""
        return self.folder / f"{name}.sock"

    def lock(self, name: str) -> Path:
        """Return the file that is locked by who has device *name* open."""
        return self.folder / f"{name}.lock"

    def user_of(self, name: str) -> int | None:
        """Return the process that has device *name* open, or None."""
        try:
            with self.lock(name).open() as file:
                try:
                    fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
                except BlockingIOError:
                    return int(file.read() or 0)
        except (OSError, ValueError):
            pass
        return None

    def died(self, device: str, operation: str) -> GuestDiedError:
        """Return the error for an operation that found the guest dead."""
        if read_state(self.folder) != self:
            return GuestDiedError(device, operation, "the lab's guest was ended (vfiokit lab down)")
        agent = self.folder / "control" / "output"
        what = f"the lab's guest (pid {self.pid}) has died"
        try:
            last = agent.read_text(errors="replace").strip().splitlines()[-15:]
        except OSError:
            last = []
        error = failure(what, self.folder)
        if last:
            error.message += "\nthe agent said:\n" + "\n".join(f"    {line}" for line in last)
        return GuestDiedError(device, operation, error.message)

    def save(self) -> None:
        """Write it into its folder, whole or not at all."""
        values = {
            name: str(value) if isinstance(value, Path) else value for name, value in asdict(self).items()
        }
        part = self.folder / f"{_STATE}.part"
        part.write_text(json.dumps(values, indent=1) + "\n")
        part.rename(self.folder / _STATE)

    def end(self) -> None:
        """End the guest, if it lives, and remove its files."""
        if self.alive:
            end_process(self.pid, self.started)
        clear(self.folder, self.shared)


def read_state(folder: Path) -> Running | None:
    """Return the guest that *folder* tells of, alive or not; None when there is none."""
    try:
        values = json.loads((folder / _STATE).read_text())
        return Running(**values | {"folder": folder, "shared": Path(values["shared"])})
    except (OSError, ValueError, TypeError, KeyError):
        return None


def clear(folder: Path, shared: Path | None = None) -> None:
    """Remove what a guest left in its folder; the lock on the folder stays."""
    if shared is not None:
        shared.unlink(missing_ok=True)
    for path in folder.iterdir() if folder.is_dir() else ():
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        elif path.name != "lock":
            path.unlink(missing_ok=True)


def boot_id() -> str:
    """Return what names this boot of the host."""
    try:
        return _BOOT_ID.read_text().strip()
    except OSError:
        return ""


def process_start(pid: int) -> int | None:
    """Return when process *pid* started, clock ticks since boot; None when it is gone or only unburied."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    # proc(5): the third field is the state, the 22nd the start.
    return None if fields[0] in "ZX" else int(fields[19])


def end_process(pid: int, started: int | None) -> None:
    """End process *pid*, if it is the one that started then; kill it when it takes too long."""
    try:
        pidfd = os.pidfd_open(pid)
    except OSError:
        return
    try:
        for number in (signal.SIGTERM, signal.SIGKILL):
            if process_start(pid) != started:
                return
            signal.pidfd_send_signal(pidfd, number)
            poll = select.poll()
            poll.register(pidfd, select.POLLIN)
            if poll.poll(PATIENCE * 1000):
                return
    except ProcessLookupError:
        return
    finally:
        os.close(pidfd)
