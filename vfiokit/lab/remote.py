"""Opening a device of the guest that stays: ``lab:v5``.

The connection is vfio-user over the device's socket. One at a time may have a device open.
"""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import time
from contextlib import ExitStack
from pathlib import Path

from vfiokit.device.vfio_user.client import VfioUserDevice
from vfiokit.device.vfio_user.shared_memory import WindowMemory
from vfiokit.errors import AddressError, DeviceBusyError, DeviceError, LabError
from vfiokit.lab.machines import machine
from vfiokit.lab.running import Running
from vfiokit.lab.slots import Slot, slot
from vfiokit.lab.up import status

__all__ = ("open_lab",)

_PATIENCE = (2.0, 4.0, 15.0, 60.0)
"""Seconds to wait for the first answer, try by try. The agent may be in the middle of a message that the last
client, killed, did not end, and takes ours for the rest of it, until it sees us leave, too."""

_PAUSE = 0.2
"""Seconds between two tries, so that it does see that."""


def open_lab(address: str) -> VfioUserDevice:
    """Open ``lab:NAME``, a device of `vfiokit.lab.slots`; it is as after a reset.

    :raises LabError: the lab is not up
    :raises GuestDiedError: it was, and its guest died; the message has its last words
    :raises AddressError: it has no device of this name
    :raises DeviceBusyError: another has it open
    """
    name = address.removeprefix("lab:")
    running = status()
    if running is None:
        raise LabError(f"{address}: the lab is not up", hint="`vfiokit lab up`, which takes about 10 s")
    if not name:
        raise AddressError(f"{address}: no device is named", hint="`vfiokit lab status` shows the names")
    found = slot(machine(running.machine), name)
    if not running.alive:
        raise running.died(address, "open")
    with ExitStack() as undo:
        undo.enter_context(_lock(running, found))
        last: DeviceError | None = None
        for patience in _PATIENCE:
            if last is not None:
                time.sleep(_PAUSE)
            try:
                device = _connect(running, found, patience)
            except DeviceError as error:
                if error.errno != errno.ETIMEDOUT:
                    raise
                last = error
                continue
            try:
                device.info()
            except DeviceError as error:
                device.close()
                if error.errno != errno.EINVAL:
                    raise
                last = error  # a late end of the last session was taken for ours: no VERSION, no device
                continue
            device.adopt(undo.pop_all())
            return device
    assert last is not None
    raise last


def _lock(running: Running, found: Slot) -> ExitStack:
    """Return what lets the device's lock go."""
    stack = ExitStack()
    file = stack.enter_context(running.lock(found.name).open("a+"))
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.seek(0)
        user = file.read() or "?"
        stack.close()
        who = "this process" if user == str(os.getpid()) else f"process {user}"
        raise DeviceBusyError(
            found.address,
            "open",
            errno.EBUSY,
            rule="a device can be open once at a time",
            hint=f"{who} has it open: close it there, or take another of `vfiokit lab status`",
        ) from None
    file.truncate(0)
    file.write(str(os.getpid()))
    file.flush()
    return stack


def _connect(running: Running, found: Slot, patience: float) -> VfioUserDevice:
    def lost(operation: str) -> DeviceError:
        # The socket may end a moment before its process does.
        if running.wait(3.0):
            return running.died(found.address, operation)
        hint = "open the device again"
        return DeviceError(
            found.address, f"{operation}: the connection was closed", errno.ECONNRESET, hint=hint
        )

    sock = socket.socket(socket.AF_UNIX)
    try:
        _connect_socket(sock, running.socket(found.name))
    except OSError as error:
        sock.close()
        if not running.alive:
            raise running.died(found.address, "open") from error
        operation = f"connect to {running.socket(found.name)}"
        raise DeviceError(found.address, operation, error.errno or errno.EIO) from error
    return VfioUserDevice(
        sock,
        name=found.vfio_name,
        address=found.address,
        memory=WindowMemory(running.shared),
        first_timeout=patience,
        lost=lost,
    )


def _connect_socket(sock: socket.socket, path: Path) -> None:
    # A socket's address has no more than 107 bytes, a path may have more.
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        sock.connect(f"/proc/self/fd/{folder}/{path.name}")
    finally:
        os.close(folder)
