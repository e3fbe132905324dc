"""A vendor driver made of five handlers, for who wants to write one: the rest is here.

Derive from `VendorDriver`, fill the handlers in, and open a device that is driven by it::

    class MyDriver(VendorDriver):
        def pending_bytes(self) -> int:
            return self.device.changed() * self.device.BLOCK
        ...

    device = open_driver(MyDriver, "emulated:v5?state=256K&dirty=2M/s")

What the device is and does is the emulated device's (docs/device-model.md): config space, BARs, workloads,
and the log of guest pages that it writes are there and work. Left to the handlers is the migration of
device memory (v5 spec 1.6). The device's registers are not migrated. The data section is trapped.
"""

from __future__ import annotations

import errno

from vfiokit.clock import Clock
from vfiokit.emulated.data_section import DataSection
from vfiokit.emulated.device import EmulatedDevice
from vfiokit.emulated.driver_region import DriverRegion, Handlers
from vfiokit.emulated.hardware import Hardware
from vfiokit.emulated.options import Options, parse_address
from vfiokit.emulated.refusal import Refuse
from vfiokit.errors import AddressError, DeviceError

__all__ = ("DrivenDevice", "VendorDriver", "open_driver")


class VendorDriver:
    """The handlers of a vendor driver; each raises NotImplementedError until it is written.

    :ivar device: the hardware: its memory in blocks, which of them changed, stop and run
    :ivar window: memory of the data section, where chunks are staged
    :ivar place: where the window begins, bytes from the start of the migration region
    :ivar state: ``device_state`` as it is; the plumbing sets it when `set_state` has returned
    """

    def __init__(self, device: Hardware, window: memoryview, place: int) -> None:
        self.device = device
        self.window = window
        self.place = place
        self.state = 0

    def set_state(self, new: int) -> None:
        """``device_state`` is written: go to *new*, bits 0 to 2. Raise `refuse` to stay where it is."""
        raise NotImplementedError

    def pending_bytes(self) -> int:
        """``pending_bytes`` is read while SAVING: return the bytes that are left to be handed out."""
        raise NotImplementedError

    def data_offset(self) -> int:
        """``data_offset`` is read: return where the chunk is, or is to go, from the region's start.

        While SAVING this is the command to stage the next chunk; there may be none.
        """
        raise NotImplementedError

    def data_size(self) -> int:
        """``data_size`` is read while SAVING: return the size of the staged chunk, 0 if there is none."""
        raise NotImplementedError

    def load(self, chunk: bytes) -> None:
        """While RESUMING, a chunk has come: take it over. Raise `refuse` when it is none of yours."""
        raise NotImplementedError

    def refuse(self, why: str) -> DeviceError:
        """Return the error that makes an access fail with EINVAL, to be raised."""
        return Refuse("the driver")("no", errno.EINVAL, why)


class DrivenDevice(EmulatedDevice):
    """An emulated device whose migration *driver* drives; the options are the emulated device's.

    :param driver: the class; an instance is made at open and at each reset
    :ivar hardware: what the driver has in its hands
    :ivar handlers: calls the driver
    """

    def __init__(
        self, driver: type[VendorDriver], options: Options, *, address: str, clock: Clock | None = None
    ) -> None:
        self._driver = driver
        super().__init__(options, address=address, clock=clock)

    def _add_migration(self, options: Options) -> None:
        section = DataSection("trapped", options.chunk, options.bitmap, self.memory)
        self._section = section
        self.hardware = Hardware(self.memory, self._set_running)

        def make() -> VendorDriver:
            return self._driver(self.hardware, section.data.view, section.data.offset)

        self.handlers = Handlers(make, self._refuse)
        self.migration = DriverRegion(self.handlers, section, self.memory, self.log, self._refuse)

    def reset(self) -> None:
        """Reset the device and its driver."""
        super().reset()
        self.hardware.run()


def open_driver(driver: type[VendorDriver], address: str, *, clock: Clock | None = None) -> DrivenDevice:
    """Open a device that is driven by *driver*.

    :param address: as of an emulated device, ``emulated:v5?state=256K&dirty=2M/s``; without faults, and
        ``data`` and ``integrity`` mean nothing here
    :param clock: shared with other devices and the VMM; None makes one as ``clock=`` says
    :raises AddressError: the address cannot be understood, or has faults
    """
    options = parse_address(address)
    if options.migration != "v5" or options.fault:
        raise AddressError(f"{address!r}: a driver of yours drives emulated:v5, without faults")
    return DrivenDevice(driver, options, address=address, clock=clock)
