"""Recordings of dirty pages, made access by access."""

import numpy as np

from vfiokit.accesses import Emit, SyncLog
from vfiokit.recording import Recording, Section


def packed(pages, dirty_pages):
    bits = np.zeros(pages, np.uint8)
    bits[list(dirty_pages)] = 1
    return np.packbits(bits, bitorder="little").tobytes()


def record(recording, access, result=None, side="source"):
    recording.access(side, access, result, None, recording.seq + 1, 1)


def lay(recording, name, first, pages, kind="ram", side="source", **more):
    recording.place(side, [Section(kind, name, first * 4096, pages * 4096, **more)], recording.seq + 1)


def ask(recording, first, pages, device="dev0", side="source"):
    record(recording, Emit("vfio_get_dirty_page_list", (device, first, pages, 4096)), side=side)


def sync(recording, block, pages, dirty_pages, side="source"):
    record(recording, SyncLog(block), packed(pages, dirty_pages), side)


def one_block(pages, name="pc.ram"):
    recording = Recording()
    lay(recording, name, 0, pages)
    return recording


def two_blocks():
    """Of 512 pages, and of 256 behind a hole of 256 that was skipped; three syncs."""
    recording = Recording()
    lay(recording, "pc.ram", 0, 512)
    lay(recording, "pc.ram.high", 768, 256)
    lay(recording, "pci hole", 512, 256, "skipped", why="no RAM")
    for low, high in (([0, 1, 2], [255]), ([2, 3], [255]), ([2, 500], [])):
        ask(recording, 0, 512)
        ask(recording, 768, 256)
        sync(recording, "pc.ram", 512, low)
        sync(recording, "pc.ram.high", 256, high)
    return recording
