"""The migration region of a device whose driver is made of handlers: the plumbing around them.

Widths, alignment, direction, what is allowed in which state, the guest pages' log and the two meanings of
``data_offset`` are the emulated driver's own (`migration_v5`); here its saving and resuming ask handlers.
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from vfiokit.emulated.data_section import DataSection
from vfiokit.emulated.dirty_log import DirtyLog
from vfiokit.emulated.migration_v5 import MigrationV5
from vfiokit.emulated.refusal import Refuse
from vfiokit.emulated.resuming import Resuming
from vfiokit.emulated.saving import Chunk, Saving
from vfiokit.emulated.state_memory import StateMemory
from vfiokit.errors import DeviceError
from vfiokit.uapi import migration_v5 as v5

if TYPE_CHECKING:
    from vfiokit.emulated.driver import VendorDriver

__all__ = ("DriverRegion", "Handlers")

_MOST = (1 << 64) - 1


class Handlers:
    """Calls the handlers of a driver; whatever they do becomes a number, or a DeviceError.

    :param make: makes a driver as after a reset
    :ivar unwritten: names of the handlers that were called and are not written yet
    """

    def __init__(self, make: Callable[[], VendorDriver], refuse: Refuse) -> None:
        self._make = make
        self._refuse = refuse
        self.unwritten: set[str] = set()
        self.driver = make()

    def reset(self) -> None:
        """Begin with a driver that knows nothing of what was."""
        self.driver = self._make()
        self.driver.state = v5.VFIO_DEVICE_STATE_RUNNING

    def call(self, name: str, *args: Any) -> Any:
        """Call a handler. ENOSYS: it is not written; EIO: it failed; its own errno: it refused."""
        try:
            return getattr(self.driver, name)(*args)
        except NotImplementedError:
            self.unwritten.add(name)
            raise self._refuse(
                f"{name}()", errno.ENOSYS, f"the handler {name} is not written yet", f"write {name}"
            ) from None
        except DeviceError as error:
            number = error.errno or errno.EIO
            raise self._refuse(f"{name}()", number, error.rule or error.message) from error
        except Exception as error:
            raise self._refuse(
                f"{name}()", errno.EIO, f"the handler {name} raised {type(error).__name__}: {error}"
            ) from error

    def number(self, name: str) -> int:
        """Call a handler that returns what a register of 64 bits reads."""
        value = self.call(name)
        if not isinstance(value, int) or not 0 <= value <= _MOST:
            raise self._refuse(
                f"{name}()", errno.EIO, f"the handler {name} returned {value!r}; a register has 64 bits"
            )
        return value


class _Saves(Saving):
    """Saving as the handlers do it."""

    def __init__(self, section: DataSection, memory: StateMemory, handlers: Handlers, refuse: Refuse) -> None:
        self._handlers = handlers
        self._no = refuse
        self._place = 0
        super().__init__(section, memory, bytes, integrity=False)

    def begin(self) -> None:
        self.drop()  # what has to go is for `set_state` to say

    def pending(self, *, running: bool) -> int:  # noqa: ARG002 - the handlers know
        return self._handlers.number("pending_bytes")

    def stage(self, *, running: bool) -> int:  # noqa: ARG002
        self.chunk = None
        self._place = self._handlers.number("data_offset")
        return self._place

    def size(self) -> int:
        size = self._handlers.number("data_size")
        window = self._section.data
        inside = window.offset <= self._place and self._place + size <= window.end
        # Where it does not fit, the VMM has its own words for it; the bytes are not given out.
        self.chunk = Chunk(self._place, size) if size and inside else None
        return size


class _Resumes(Resuming):
    """Resuming as the handlers do it: a chunk is theirs when its size and its bytes are there."""

    def __init__(self, section: DataSection, memory: StateMemory, handlers: Handlers, refuse: Refuse) -> None:
        self._handlers = handlers
        self._no = refuse
        super().__init__(section, memory, lambda _payload: None, refuse)

    def drop(self) -> None:
        self._offset: int | None = None
        self._size: int | None = None
        self._bytes: bytes | None = None
        super().drop()

    def place(self, operation: str) -> int:  # noqa: ARG002 - the handler is named instead
        self.drop()
        self._offset = self._handlers.number("data_offset")
        return self._offset

    def take_size(self, size: int, operation: str) -> None:
        if self._offset is None or self._size is not None:
            rule = "data_offset is read first, once for every chunk (v5 spec 2.3)"
            raise self._no(operation, errno.EINVAL, rule)
        self._size = size
        self._hand_over()

    def take_data(self, offset: int, data: bytes | memoryview, operation: str) -> None:
        if self._offset is None or offset != self._offset or self._size not in (None, len(data)):
            rule = "a chunk is written in one piece at the data_offset that was read (v5 spec 1.4, 7)"
            raise self._no(operation, errno.EINVAL, rule)
        self._bytes = bytes(data)
        self._hand_over()

    def _hand_over(self) -> None:
        if self._size is None or self._bytes is None:
            return
        chunk = self._bytes
        self.drop()
        self._handlers.call("load", chunk)


class DriverRegion(MigrationV5):
    """The region's registers and data section, with *handlers* behind them."""

    def __init__(
        self, handlers: Handlers, section: DataSection, memory: StateMemory, log: DirtyLog, refuse: Refuse
    ) -> None:
        self.handlers = handlers
        super().__init__(
            section,
            _Saves(section, memory, handlers, refuse),
            _Resumes(section, memory, handlers, refuse),
            log,
            refuse,
            lambda _running: None,
        )

    def reset(self) -> None:
        """Reset the region, and the driver with it."""
        self.handlers.reset()
        super().reset()

    def _set_state(self, value: int, operation: str) -> None:  # noqa: ARG002 - the handler is named instead
        low, old = value & v5.VFIO_DEVICE_STATE_MASK, self.state & v5.VFIO_DEVICE_STATE_MASK
        self.handlers.call("set_state", low)
        self.state = value
        self.handlers.driver.state = low
        self._enter(old, low)
