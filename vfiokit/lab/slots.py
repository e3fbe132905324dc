"""The devices of a guest that stays (`vfiokit lab up`), as a table: what ``lab:NAME`` means.

Each has a virtio-serial port in the guest and a socket on the host of its own. There are two of every
kind that can be migrated, a source and a destination.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass

from vfiokit.errors import AddressError
from vfiokit.lab.machines import Machine

__all__ = ("Slot", "slot", "slots")

_PORT = "org.vfiokit."


@dataclass(frozen=True, slots=True)
class Slot:
    """One device.

    :param name: behind ``lab:``
    :param text: what it is, in a few words
    :param mdev_type: the driver's type of mediated device, without the driver's name; None for a PCI device
    :param pci: the PCI device's address in the guest
    """

    name: str
    text: str
    mdev_type: str | None = None
    pci: str | None = None

    @property
    def address(self) -> str:
        """How the user names it."""
        return f"lab:{self.name}"

    @property
    def port(self) -> str:
        """Name of its virtio-serial port."""
        return _PORT + self.name

    @property
    def vfio_name(self) -> str:
        """The name it has in the guest: a PCI address, or the mediated device's UUID, always the same."""
        return self.pci or str(uuid.uuid5(uuid.NAMESPACE_URL, self.address))


def _two(name: str, mdev_type: str, text: str) -> tuple[Slot, Slot]:
    return Slot(name, text, mdev_type), Slot(f"{name}-2", f"{text}; a second one", mdev_type)


_MDEVS = (
    *_two("v5", "v5-4m", "v5, 4 MiB of device memory"),
    *_two("v5-16m", "v5-16m", "v5, 16 MiB of device memory"),
    *_two("v5-trapped", "v5-trapped", "v5, 4 MiB, the data section is trapped"),
    *_two("v5-mixed", "v5-mixed", "v5, 4 MiB, only device memory's records are mapped"),
    Slot("none", "4 MiB, no migration region", "none"),
)


def slots(machine: Machine) -> tuple[Slot, ...]:
    """Return the devices that *machine* has."""
    mdevs = _MDEVS if "mdev" in machine.modules else ()
    pci = (Slot(name, f"QEMU's {name}, by vfio-pci", pci=address) for address, name in machine.pci)
    return (*mdevs, *pci)


def slot(machine: Machine, name: str) -> Slot:
    """Return the device of this name; AddressError when *machine* has none."""
    for found in slots(machine):
        if found.name == name:
            return found
    names = ", ".join(found.address for found in slots(machine))
    raise AddressError(f"lab:{name}: the lab's machine {machine.name!r} has no such device", hint=names)
