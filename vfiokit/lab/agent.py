"""The program in a guest that stays: ``python -m vfiokit.lab.agent MACHINE``.

Each device of the machine's table (`vfiokit.lab.slots`) has a virtio-serial port and here a thread, which
serves it by vfio-user to whoever connects to the port's socket on the host. A device is made, bound and
opened when a client comes, and closed when it leaves, so that each finds it as after a reset.

For DMA the guest has memory that is the host's too: the second BAR of QEMU's ivshmem device. It is mapped
here once, and what a client maps for DMA is a part of it.
"""

from __future__ import annotations

import errno
import mmap
import os
import select
import sys
import threading
import traceback
from functools import partial
from pathlib import Path

from vfiokit.device.address import open_vfio
from vfiokit.device.base import Device
from vfiokit.device.binding import bind, create_mdev
from vfiokit.device.sysfs import mdev_types
from vfiokit.device.vfio_user.channel import FileChannel
from vfiokit.device.vfio_user.server import serve
from vfiokit.device.vfio_user.wire import MessageError
from vfiokit.errors import DeviceNotFoundError, LabError, VfioError
from vfiokit.lab.machines import machine
from vfiokit.lab.slots import Slot, slots

__all__ = ("main",)

READY = Path("/run/vfiokit/control/agent")
_PORTS = Path("/sys/class/virtio-ports")
_PCI = Path("/sys/bus/pci/devices")
_IVSHMEM = ("0x1af4", "0x1110")  # vendor and device, QEMU docs/specs/ivshmem-spec


def main(argv: list[str] | None = None) -> None:
    """Serve the devices of the machine named by the argument, for as long as the guest lives."""
    (name,) = argv if argv is not None else sys.argv[1:]
    window = _shared_memory()
    ports = {path.joinpath("name").read_text().strip(): path.name for path in _PORTS.iterdir()}
    threads = [
        threading.Thread(target=_tend, args=(Path("/dev") / ports[slot.port], slot, window), name=slot.name)
        for slot in slots(machine(name))
    ]
    threading.excepthook = _die
    for thread in threads:
        thread.start()
    READY.write_text(f"{len(threads)} devices\n")
    for thread in threads:
        thread.join()


def _die(args: threading.ExceptHookArgs) -> None:
    """End the guest with the thread: a client then sees that it died, and does not wait forever."""
    traceback.print_exception(args.exc_type, args.exc_value, args.exc_traceback)
    sys.stderr.flush()
    os._exit(1)


def _shared_memory() -> memoryview:
    for device in _PCI.iterdir():
        found = tuple(device.joinpath(name).read_text().strip() for name in ("vendor", "device"))
        if found == _IVSHMEM:
            device.joinpath("enable").write_text("1")
            with device.joinpath("resource2").open("r+b") as file:
                return memoryview(mmap.mmap(file.fileno(), device.joinpath("resource2").stat().st_size))
    raise LabError("the guest has no memory that is shared with the host", rule="an ivshmem device")


def _tend(port: Path, slot: Slot, window: memoryview) -> None:
    """Serve one port, client after client."""
    fd = os.open(port, os.O_RDWR | os.O_CLOEXEC)
    # Nobody at the other end is a state, of which a level-triggered poll would never tire.
    events = select.epoll()
    events.register(fd, select.EPOLLIN | select.EPOLLET)
    while True:
        # What wakes us may come before the kernel's word that somebody is there, so that is not asked:
        # without anybody and without data serve() sees the stream's end at once.
        events.poll()
        try:
            serve(partial(_open, slot), FileChannel(fd), window=window)
        except MessageError as error:
            print(f"{slot.name}: {error}", flush=True)  # noqa: T201
            _discard(fd)


def _discard(fd: int) -> None:
    """Read until the client is gone: after what was no message nothing of it can be told apart."""
    while os.read(fd, 1 << 16):
        pass


def _open(slot: Slot) -> Device:
    try:
        if slot.pci is not None:
            bind(slot.pci)
            return open_vfio(slot.pci)
        if not Path("/sys/bus/mdev/devices", slot.vfio_name).exists():
            create_mdev(_mdev_type(slot), slot.vfio_name)
        return open_vfio(f"mdev:{slot.vfio_name}")
    except VfioError as error:
        print(f"{slot.name}: {error}", flush=True)  # noqa: T201 - the errno is all that a client gets
        raise


def _mdev_type(slot: Slot) -> Path:
    for found in mdev_types():
        if found.type.endswith(f"-{slot.mdev_type}"):
            return found.path
    raise DeviceNotFoundError(slot.vfio_name, f"find mdev type {slot.mdev_type}", errno.ENODEV)


if __name__ == "__main__":
    main()
