"""The least VMM there is: reads and writes a device's migration region by pread, pwrite and mmap."""

from __future__ import annotations

import errno
import sys
from contextlib import contextmanager

import pytest

from vfiokit.errors import DeviceError
from vfiokit.uapi.migration_v5 import REGISTERS

REGION = 9
STOPPED, RUNNING, SAVING, PRECOPY, RESUMING = 0, 1, 2, 3, 4
ORDERS = ("v5", "merged", "mapped", "late-trapped")


@contextmanager
def refused(text=None, number=errno.EINVAL):
    """What is done here is refused with an errno, a rule, and *text* somewhere in the message."""
    with pytest.raises(DeviceError, match=text) as caught:
        yield
    assert caught.value.errno == number
    assert caught.value.rule


class Vmm:
    def __init__(self, device):
        self.device = device
        region = device.region(REGION)
        self.views = {a.offset: device.mmap(REGION, a.offset, a.size) for a in region.areas}

    def get(self, name):
        register = REGISTERS[name]
        return int.from_bytes(self.device.pread(REGION, register.offset, register.width), sys.byteorder)

    def put(self, name, value):
        register = REGISTERS[name]
        data = value.to_bytes(register.width, sys.byteorder)
        assert self.device.pwrite(REGION, register.offset, data) == register.width

    def mapped(self, place, size):
        """The mapped bytes at *place*, None where they are trapped."""
        for start, view in self.views.items():
            if start <= place and place + size <= start + len(view):
                return view[place - start : place - start + size]
        return None

    def read(self, place, size):
        view = self.mapped(place, size)
        return bytes(view) if view is not None else self.device.pread(REGION, place, size)

    def chunk(self):
        """The next chunk, b'' if there is none; its data are read mapped where they are."""
        place = self.get("data_offset")
        size = self.get("data_size")
        return self.read(place, size) if size else b""

    def drain(self):
        chunks = []
        while self.get("pending_bytes"):
            chunks.append(self.chunk())
            assert chunks[-1]
        return chunks

    def save(self, rounds=0):
        """Pre-copy of so many chunks, then stop-and-copy; leaves the device stopped."""
        self.put("device_state", PRECOPY)
        chunks = [chunk for _ in range(rounds) if (chunk := self.chunk())]
        self.put("device_state", SAVING)
        chunks += self.drain()
        self.put("device_state", STOPPED)
        return chunks

    def give(self, chunk, order="v5"):
        """Hand one chunk over in an order: v5 and merged use mappings where there are some."""
        place = self.get("data_offset")
        view = self.mapped(place, len(chunk))
        if order == "late-trapped" or (order == "v5" and view is None):
            self.put("data_size", len(chunk))
            half = len(chunk) // 2
            self.device.pwrite(REGION, place, chunk[:half])
            self.device.pwrite(REGION, place + half, chunk[half:])
            return
        if view is None or order == "merged":
            self.device.pwrite(REGION, place, chunk)
        else:
            view[:] = chunk
        self.put("data_size", len(chunk))

    def resume(self, chunks, order="v5"):
        self.put("device_state", RESUMING)
        for chunk in chunks:
            self.give(chunk, order)
        self.put("device_state", RUNNING)

    def dirty(self, start, total, page_size=4096):
        """All pages of the range reported dirty, as v5 QEMU collects them (v5 spec 7.2)."""
        pages, count = set(), 0
        while count < total:
            self.put("start_pfn", start + count)
            self.put("page_size", page_size)
            self.put("total_pfns", total - count)
            copied = self.get("copied_pfns")
            if copied == 0:
                break
            if copied == 0xFFFF_FFFF_FFFF_FFFF:
                pages.update(range(start + count, start + total))
                break
            size = (-(-copied // 64) + 1) * 8
            bits = int.from_bytes(self.read(self.get("data_offset"), size), "little")
            assert bits >> copied == 0
            pages.update(start + count + k for k in range(copied) if bits >> k & 1)
            count += copied
        return pages
