"""The device of chapter 7. Who reads on finds its bug without the debugger.

A snapshot of dirty pages turns ``data_offset`` from device data to the bitmap. A read of ``pending_bytes``
should turn it back (v5 spec 1.6, last paragraph); in this driver that was forgotten. Where every snapshot
finds dirty pages nobody notices: the VMM then asks for the bitmap's place, which turns it back as well. In a
quiet guest the next chunk is "staged" where the bitmap is, and the last chunk's size is told for it.
"""

from __future__ import annotations

import sys

from vfiokit.clock import Clock
from vfiokit.device.wrapped import WrappedDevice
from vfiokit.emulated import open_emulated
from vfiokit.uapi.migration_v5 import REGISTERS, VFIO_DEVICE_DIRTY_PFNS_NONE

__all__ = ("open_planted",)

_MIGRATION = 9
_COPIED_PFNS, _DATA_OFFSET = REGISTERS["copied_pfns"].offset, REGISTERS["data_offset"].offset


class _Planted(WrappedDevice):
    """The emulated driver, where nothing but a read of ``data_offset`` turns that register back."""

    _turned = False

    def pread(self, region: int, offset: int, size: int) -> bytes:
        if region == _MIGRATION and offset == _DATA_OFFSET and self._turned:
            self._turned = False
            _data, bitmap = self.device.region(_MIGRATION).areas
            return bitmap.offset.to_bytes(size, sys.byteorder)
        data = self.device.pread(region, offset, size)
        if region == _MIGRATION and offset == _COPIED_PFNS:
            # With dirty pages the emulated driver turns it by itself.
            self._turned = int.from_bytes(data, sys.byteorder) == VFIO_DEVICE_DIRTY_PFNS_NONE
        return data


def open_planted(address: str, *, clock: Clock | None = None) -> WrappedDevice:
    """Open the chapter's device; *address*, with ``data=mapped``, and *clock* as of `open_emulated`."""
    return _Planted(open_emulated(address, clock=clock))
