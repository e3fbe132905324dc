"""SaveVMHandlers: what the migration loop calls, for RAM and for each device alike."""

from __future__ import annotations

from typing import Protocol

from vfiokit.accesses import Flow
from vfiokit.protocol.stream_cursor import Cursor
from vfiokit.protocol.v5 import load, save
from vfiokit.protocol.v5.device import MigratingDevice
from vfiokit.protocol.v5.save import Totals

__all__ = ("DeviceHandlers", "SaveHandlers", "Totals")


class SaveHandlers(Protocol):
    """One entry of the VM's list; registration order is call order."""

    idstr: str
    version: int
    label: str  # for people: "ram", or the device's name

    def save_setup(self) -> Flow[None]:
        """Begin; its output is the START section."""
        ...

    def save_pending(self, totals: Totals, threshold: int) -> Flow[None]:
        """Add to *totals* what is pending, bytes."""
        ...

    def save_iterate(self) -> Flow[bool]:
        """Put one portion, a PART section; return whether nothing is left now."""
        ...

    def save_complete(self) -> Flow[None]:
        """Put the rest, the END section; the guest is stopped."""
        ...

    def save_cleanup(self) -> Flow[None]:
        """End, whatever came of it."""
        ...

    def load_setup(self) -> Flow[None]:
        """Begin, before any section is read."""
        ...

    def load_state(self, cursor: Cursor) -> Flow[None]:
        """Take one section, from behind its head."""
        ...

    def load_cleanup(self) -> Flow[None]:
        """End, whatever came of it."""
        ...


class DeviceHandlers:
    """The nine handlers of patches 08 to 10 for one device.

    :param path: the device's place on its bus, ``0000:00:04.0``; the idstr is it and ``/vfio``
    """

    version = 1

    def __init__(self, device: MigratingDevice, path: str) -> None:
        self.device = device
        self.idstr = f"{path}/vfio"
        self.label = device.name

    def save_setup(self) -> Flow[None]:
        """SETUP, END."""
        return save.save_setup(self.device)

    def save_pending(self, totals: Totals, threshold: int) -> Flow[None]:  # noqa: ARG002 - RAM alone looks at it
        """All of it counts as to be sent before the guest stops."""
        return save.save_pending(self.device, totals)

    def save_iterate(self) -> Flow[bool]:
        """One chunk."""
        return save.save_iterate(self.device)

    def save_complete(self) -> Flow[None]:
        """Config state and the rest."""
        return save.save_complete_precopy(self.device)

    def save_cleanup(self) -> Flow[None]:
        """Unmap."""
        return save.save_cleanup(self.device)

    def load_setup(self) -> Flow[None]:
        """Map, RESUMING."""
        return load.load_setup(self.device)

    def load_state(self, cursor: Cursor) -> Flow[None]:
        """One section."""
        return load.load_state(self.device, cursor)

    def load_cleanup(self) -> Flow[None]:
        """Unmap."""
        return load.load_cleanup(self.device)
