"""Saving 1 GiB of mapped device state through the whole flow, against a bare loop over the mapping."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from benchmarks.measure import Pair, pair
from vfiokit.accesses import Buffer
from vfiokit.addresses import open_device
from vfiokit.clock import RealClock
from vfiokit.device.base import Device
from vfiokit.side import Side
from vfiokit.streams import FileSink, Sink
from vfiokit.trace import Tracer, load
from vfiokit.vmm.outgoing import migrate_out

STATE = 1 << 30
CHUNK = 16 << 20
ADDRESS = f"emulated:v5?state={STATE}&chunk={CHUNK}&data=direct&integrity=off&clock=real"
AIM = "aim 0.9"


class BufferSink:
    """A stream into memory that is there already, so that only the copying is timed."""

    def __init__(self, buffer: memoryview) -> None:
        self._buffer = buffer
        self.position = 0

    def write(self, data: Buffer) -> None:
        """Append a copy."""
        end = self.position + len(data)
        self._buffer[self.position : end] = data
        self.position = end


def save(device: Device, sink: Sink) -> None:
    """Migrate a stopped VM with *device*; its state goes straight from the mapping into the stream."""
    with Side([device], memory=0, clock=RealClock(), tracer=Tracer(load("v5")), sink=sink) as side:
        side.plug()
        side.run(migrate_out(side.vm, transferred=lambda: side.host.transferred))
        assert side.host.transferred > STATE


def rows() -> Iterator[Pair]:
    """To memory, then to a file."""
    with open_device(ADDRESS) as device:
        area = max(device.region(9).areas, key=lambda area: area.size)
        assert area.size >= STATE
        view = device.mmap(9, area.offset, area.size)
        target = memoryview(bytearray(STATE + (1 << 20)))

        def bare_memory() -> None:
            for at in range(0, STATE, CHUNK):
                target[at : at + CHUNK] = view[at : at + CHUNK]

        yield pair(
            "save 1 GiB of mapped state to memory / copy",
            lambda: save(device, BufferSink(target)),
            bare_memory,
            aim=AIM,
        )
        # A file in memory where there is one: how a disk writes back would drown the difference.
        memory = Path("/dev/shm")
        with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as folder:
            path = Path(folder) / "stream"

            def to_file() -> None:
                sink = FileSink(path)
                save(device, sink)
                sink.close()

            def bare_file() -> None:
                fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
                for at in range(0, STATE, CHUNK):
                    os.write(fd, view[at : at + CHUNK])
                os.close(fd)

            yield pair("save 1 GiB of mapped state to a file / write", to_file, bare_file, rounds=9, aim=AIM)
        view.release()
