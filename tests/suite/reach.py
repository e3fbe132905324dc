"""The ways to reach a device of our model, for one suite: emulated here, or the kernel's in the lab's guest.

``VFIOKIT_SUITE`` chooses: ``emulated`` (the default), ``vfio-user`` (emulated, behind server and client) or
``kernel``, which needs the lab's driver.
"""

import os
import socket
import threading
import time
import uuid
from contextlib import contextmanager

from vfiokit.addresses import open_device
from vfiokit.clock import RealClock, SimulatedClock
from vfiokit.device import binding, dma_memory, sysfs
from vfiokit.device.vfio_user.channel import SocketChannel
from vfiokit.device.vfio_user.client import VfioUserDevice
from vfiokit.device.vfio_user.server import serve
from vfiokit.device.vfio_user.shared_memory import PassedMemory
from vfiokit.emulated import model
from vfiokit.emulated.program import read_register, write_register

WAY = os.environ.get("VFIOKIT_SUITE", "emulated")
KINDS = ("mapped", "trapped", "mixed")
STATE = 4 << 20

_EMULATED = {
    "mapped": f"emulated:v5?state={STATE}&fill=zero&data=mapped",
    "trapped": f"emulated:v5?state={STATE}&fill=zero&data=trapped",
    "mixed": f"emulated:v5?state={STATE}&fill=zero&data=mixed",
    "none": f"emulated:none?state={STATE}&fill=zero",
}
_MDEV_TYPES = {"mapped": "v5-4m", "trapped": "v5-trapped", "mixed": "v5-mixed", "none": "none"}


class World:
    """Opens devices that share a clock, and takes them away again."""

    def __init__(self):
        self.clock = RealClock() if WAY == "vfio-user" else SimulatedClock()
        self._undo = []
        self._count = 0

    def open(self, kind="mapped", options=""):
        """Open a fresh device; *options* are workload options, ``dma=8M/s``."""
        if WAY != "kernel":
            self._count += 1
            extra = f"&{options}" if options else ""
            device = open_device(f"{_EMULATED[kind]}&name=dev{self._count}{extra}", clock=self.clock)
            if WAY == "vfio-user":
                device = self._far(device)
        else:
            name = str(uuid.uuid4())
            (wanted,) = (t for t in sysfs.mdev_types() if t.type.endswith(f"-{_MDEV_TYPES[kind]}"))
            binding.create_mdev(wanted.path, name)
            self._undo.append(lambda: binding.remove_mdev(name))
            device = open_device(f"mdev:{name}" + (f"?{options}" if options else ""))
        self._undo.append(device.close)
        return device

    def _far(self, device):
        """Put *device* behind a vfio-user server in a thread of its own; return the client."""
        here, there = socket.socketpair()
        thread = threading.Thread(target=serve, args=(device, SocketChannel(there)))
        thread.start()
        self._undo += [device.close, there.close, thread.join]
        return VfioUserDevice(here, name=device.name, memory=PassedMemory())

    def let_work(self, device):
        """Let some time pass in which the device's workloads do something."""
        if WAY == "emulated":
            self.clock.sleep(100_000_000)
            return
        before, deadline = read_register(device, "COUNTER"), time.monotonic() + 30
        while read_register(device, "COUNTER") == before and time.monotonic() < deadline:
            time.sleep(0.01)

    def close(self):
        while self._undo:
            self._undo.pop()()


def allocate(size):
    """Memory that a device of this suite can reach."""
    return PassedMemory().allocate(size) if WAY == "vfio-user" else dma_memory.allocate(size)


def registers_of(device):
    """The register file as a dictionary."""
    return {r.name: read_register(device, r.name) for r in model.REGISTERS.values() if "r" in r.access}


@contextmanager
def dma_window(device, memory, address=0):
    """Map *memory* for the device and point its DMA workload at it."""
    device.map_dma(address, memory.view)
    write_register(device, "WINDOW_IOVA", address)
    write_register(device, "WINDOW_PAGES", memory.size // model.PAGE_SIZE)
    try:
        yield
    finally:
        device.unmap_dma(address, memory.size)


def expected_writes(count, *, pattern, pages, param=0, seed=1):
    """What docs/device-model.md says: page to its last (number, random value)."""
    written = {}
    for number in range(count):
        value = model.mix(seed << 32 ^ number)
        if pattern == "ring":
            page = number % pages
        elif pattern == "random":
            page = value % pages
        elif pattern == "hot":
            hot = min(max(param, 1), pages)
            page = (value >> 3) % (hot if value & 7 else pages)
        else:
            page = number * max(param, 1) % pages
        written[page] = (number, value)
    return written
