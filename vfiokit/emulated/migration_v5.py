"""The v5 migration region of the emulated vendor driver, to the letter of the v5 posting.

The header's registers are checked for width, alignment and direction; what each access means in each
state is v5 spec 1.6. Refusals are EINVAL and leave ``device_state`` and everything else as it was.

``data_offset`` while SAVING has two meanings. A write of the dirty request or a read of ``copied_pfns``
that made a bitmap turns it to the bitmap; a read of ``pending_bytes``, and having told the bitmap's place
once, turn it back to device data (v5 spec 1.6, last paragraph).
"""

from __future__ import annotations

import errno
import sys
from collections.abc import Callable

from vfiokit.emulated.data_section import DataSection
from vfiokit.emulated.dirty_log import DirtyLog
from vfiokit.emulated.refusal import Refuse
from vfiokit.emulated.resuming import Resuming
from vfiokit.emulated.saving import Chunk, Saving
from vfiokit.uapi import migration_v5 as v5

__all__ = ("MigrationV5",)

_RUNNING = v5.VFIO_DEVICE_STATE_RUNNING
_SAVING = v5.VFIO_DEVICE_STATE_SAVING
_RESUMING = v5.VFIO_DEVICE_STATE_RESUMING
_REQUEST = ("start_pfn", "page_size", "total_pfns")
_BY_OFFSET = {register.offset: register for register in v5.REGISTERS.values()}


class MigrationV5:
    """The region's registers and data section.

    :param on_running: called with RUNNING's new value before ``device_state`` changes; the device has
        stopped when it returns
    """

    def __init__(
        self,
        section: DataSection,
        saving: Saving,
        resuming: Resuming,
        log: DirtyLog,
        refuse: Refuse,
        on_running: Callable[[bool], None],
    ) -> None:
        self._section = section
        self._saving = saving
        self._resuming = resuming
        self._log = log
        self._refuse = refuse
        self._on_running = on_running
        self.reset()

    def reset(self) -> None:
        """The device was reset: it runs, nothing is staged or owed."""
        self.state = _RUNNING
        self._saving.drop()
        self._resuming.forget()
        self._log.end()
        self._bitmap: Chunk | None = None
        self._bitmap_next = False

    @property
    def size(self) -> int:
        """Bytes of the region."""
        return self._section.size

    # -- accesses --

    def read(self, offset: int, size: int) -> bytes:
        """Perform a trapped read of the region."""
        if offset >= v5.HEADER_SIZE:
            return self._read_data(offset, size)
        register = self._register(offset, size, "pread")
        operation = f"pread(migration {register.name})"
        if not register.readable and register.name != "reserved":
            raise self._refuse(operation, errno.EINVAL, f"{register.name} is write only (v5 spec 1.2)")
        return self._read_register(register.name, operation).to_bytes(size, sys.byteorder)

    def write(self, offset: int, data: bytes) -> None:
        """Perform a trapped write of the region."""
        if offset >= v5.HEADER_SIZE:
            self._write_data(offset, data)
            return
        register = self._register(offset, len(data), "pwrite")
        value = int.from_bytes(data, sys.byteorder)
        operation = f"pwrite(migration {register.name}={value:#x})"
        if not register.writable and register.name != "reserved":
            raise self._refuse(operation, errno.EINVAL, f"{register.name} is read only (v5 spec 1.2)")
        self._write_register(register.name, value, operation)

    def _register(self, offset: int, size: int, call: str) -> v5.Register:
        register = _BY_OFFSET.get(offset)
        if register is None or register.width != size:
            inside = [
                r for r in v5.REGISTERS.values() if r.offset < offset + size and offset < r.offset + r.width
            ]
            names = ", ".join(f"{r.name} ({r.width} bytes at {r.offset:#x})" for r in inside)
            raise self._refuse(
                f"{call}(migration {offset:#x}, {size} bytes)",
                errno.EINVAL,
                f"registers have their native width and alignment (v5 spec 1.4); this touches {names}",
            )
        return register

    def _needs(self, operation: str, allowed: bool, states: str) -> None:
        if not allowed:
            raise self._refuse(
                operation,
                errno.EINVAL,
                f"allowed in {states} only; the device is {v5.state_name(self.state)} (v5 spec 1.6)",
            )

    @property
    def _is_saving(self) -> bool:
        return bool(self.state & _SAVING)

    @property
    def _is_running(self) -> bool:
        return bool(self.state & _RUNNING)

    @property
    def _is_resuming(self) -> bool:
        return bool(self.state & _RESUMING)

    # -- registers --

    def _read_register(self, name: str, operation: str) -> int:
        if name == "device_state":
            return self.state
        if name == "pending_bytes":
            self._bitmap_next = False
            return self._saving.pending(running=self._is_running) if self._is_saving else 0
        if name == "data_offset":
            self._needs(operation, self._is_saving or self._is_resuming, "SAVING or RESUMING")
            return self._data_offset(operation)
        if name == "data_size":
            self._needs(operation, not self._is_resuming, "SAVING, by reading")
            return self._saving.size() if self._is_saving else 0
        if name == "copied_pfns":
            self._needs(operation, self._is_saving, "SAVING")
            return self._snapshot()
        return 0  # reserved: v5 leaves it open, the merged interface reads 0

    def _write_register(self, name: str, value: int, operation: str) -> None:
        if name == "device_state":
            self._set_state(value, operation)
        elif name == "data_size":
            self._needs(operation, self._is_resuming, "RESUMING, by writing")
            self._resuming.take_size(value, operation)
        elif name in _REQUEST:
            self._needs(operation, self._is_saving, "SAVING")
            self._log.request(name, value)
            self._bitmap_next = True

    def _data_offset(self, operation: str) -> int:
        if self._is_resuming:
            return self._resuming.place(operation)
        if self._bitmap_next:
            self._bitmap_next = False
            return self._section.bitmap.offset
        return self._saving.stage(running=self._is_running)

    def _snapshot(self) -> int:
        copied, bitmap = self._log.snapshot()
        window = self._section.bitmap
        self._bitmap = None
        if bitmap is not None:
            window.view[: len(bitmap)] = bitmap
            self._bitmap = Chunk(window.offset, len(bitmap))
        self._bitmap_next = bitmap is not None
        return copied

    # -- device_state --

    def _set_state(self, value: int, operation: str) -> None:
        """Go to state *value*. When refused, nothing has changed."""
        low, old = value & v5.VFIO_DEVICE_STATE_MASK, self.state
        if low & _RESUMING and low != _RESUMING:
            raise self._refuse(
                operation,
                errno.EINVAL,
                f"{v5.state_name(low)} is not a state: RESUMING goes with neither SAVING nor RUNNING "
                "(v5 spec 1.3, 3.1)",
            )
        missing = self._resuming.missing()
        if low & (_RUNNING | _SAVING) and missing is not None:
            raise self._refuse(
                operation,
                errno.EINVAL,
                f"RESUMING is left for {v5.state_name(low)} when all came, but {missing} (device model)",
                "pass on all of the source's data; or enter RESUMING again, or reset the device",
            )
        was_running, now_running = bool(old & _RUNNING), bool(low & _RUNNING)
        if now_running and not was_running and low & old & _SAVING:
            self._saving.runs_again()
        if was_running != now_running:
            self._on_running(now_running)
        self.state = value
        self._enter(old & v5.VFIO_DEVICE_STATE_MASK, low)

    def _enter(self, old: int, new: int) -> None:
        if new & ~old & _SAVING:
            self._saving.begin()
            self._log.begin()
        elif old & ~new & _SAVING:
            self._saving.drop()
            self._log.end()
        if (new ^ old) & _SAVING:
            self._bitmap, self._bitmap_next = None, False
        if new & ~old & _RESUMING:
            self._resuming.begin()
        elif old & ~new & _RESUMING:
            self._resuming.drop()

    # -- data section --

    def _read_data(self, offset: int, size: int) -> bytes:
        operation = f"pread(migration data {offset:#x}, {size:#x} bytes)"
        self._needs(operation, self._is_saving, "SAVING, by reading")
        given = [chunk for chunk in (self._saving.chunk, self._bitmap) if chunk is not None]
        for chunk in given:
            if chunk.place <= offset and offset + size <= chunk.place + chunk.size:
                return bytes(self._section.view(offset, size))
        places = " and ".join(f"[{c.place:#x}, {c.place + c.size:#x})" for c in given) or "nothing"
        raise self._refuse(
            operation, errno.EINVAL, f"data is read where it was staged (v5 spec 1.4, 5); staged is {places}"
        )

    def _write_data(self, offset: int, data: bytes) -> None:
        operation = f"pwrite(migration data {offset:#x}, {len(data):#x} bytes)"
        self._needs(operation, self._is_resuming, "RESUMING, by writing")
        self._resuming.take_data(offset, data, operation)
