"""IOMMU groups as sysfs has them: which group a device is in, who else is, and who is in the way.

A group is viable when every member is bound to a VFIO driver, to no driver, or to one that leaves DMA
alone (Linux ``Documentation/driver-api/vfio.rst``). *root* is where ``/sys`` and ``/dev`` are.
"""

from __future__ import annotations

import errno
from dataclasses import dataclass
from pathlib import Path

from vfiokit.errors import DeviceNotFoundError

__all__ = (
    "Member",
    "bind_commands",
    "device_path",
    "driver_of",
    "group_number",
    "group_of",
    "is_vfio_driver",
    "link_name",
    "members",
    "node_path",
)

# Drivers that do no DMA of their own: pci-stub, and the port services of bridges.
_HARMLESS = frozenset({"pci-stub", "pcieport", "xen-pciback"})


@dataclass(frozen=True, slots=True)
class Member:
    """A device in an IOMMU group."""

    name: str
    driver: str | None
    bus: str  # "pci", "mdev", …
    vfio: bool = False  # it is bound to a VFIO driver

    @property
    def blocks(self) -> bool:
        """Its driver keeps the group from being viable."""
        return self.driver is not None and not self.vfio and self.driver not in _HARMLESS

    def __str__(self) -> str:
        return f"{self.name} ({self.driver or 'no driver'})"


def link_name(path: Path) -> str | None:
    """Return the last part of what a symbolic link in sysfs points at, or None when it is not there."""
    try:
        return path.readlink().name
    except OSError:
        return None


def device_path(name: str, root: Path = Path("/")) -> Path:
    """Return a device's directory in sysfs; DeviceNotFoundError when no bus has it."""
    buses = root / "sys/bus"
    for bus in ("pci", "mdev"):
        if (buses / bus / "devices" / name).exists():
            return buses / bus / "devices" / name
    for path in sorted(buses.glob(f"*/devices/{name}")):
        return path
    raise DeviceNotFoundError(
        name,
        "look it up under /sys/bus/*/devices",
        errno.ENODEV,
        hint="`lspci -D` lists PCI devices; mediated ones are in /sys/bus/mdev/devices",
    )


def driver_of(device: Path) -> str | None:
    """Return the driver that a device is bound to, or None."""
    return link_name(device / "driver")


def is_vfio_driver(device: Path, driver: str | None) -> bool:
    """Return whether a device is bound to a VFIO driver.

    The kernel tells by a ``vfio-dev`` directory from Linux 6.1 on; before, the driver's name has to do.
    """
    if driver is None:
        return False
    bus = link_name(device / "subsystem")
    return (device / "vfio-dev").is_dir() or "vfio" in driver or bus == "mdev"


def group_of(device: Path) -> int | None:
    """Return a device's IOMMU group number, or None when it has none."""
    name = link_name(device / "iommu_group")
    return int(name) if name is not None and name.isdecimal() else None


def group_number(name: str, root: Path = Path("/")) -> int:
    """Return the IOMMU group of device *name*; DeviceNotFoundError with what to do when it has none."""
    path = device_path(name, root)
    number = group_of(path)
    if number is None:
        mdev = link_name(path / "subsystem") == "mdev"
        hint = (
            "load the mediated device's VFIO driver; the parent's driver brings it"
            if mdev
            else "switch the IOMMU on: in the firmware (VT-d, AMD-Vi), and with intel_iommu=on on an Intel "
            "machine's kernel command line"
        )
        raise DeviceNotFoundError(name, "look up its IOMMU group", errno.ENODEV, hint=hint)
    return number


def members(number: int, root: Path = Path("/")) -> tuple[Member, ...]:
    """Return the devices of an IOMMU group, by name; empty when sysfs does not have the group."""
    directory = root / "sys/kernel/iommu_groups" / str(number) / "devices"
    try:
        names = sorted(entry.name for entry in directory.iterdir())
    except OSError:
        return ()
    found = []
    for name in names:
        device = directory / name
        driver = driver_of(device)
        bus = link_name(device / "subsystem") or "pci"
        found.append(Member(name, driver, bus, is_vfio_driver(device, driver)))
    return tuple(found)


def node_path(number: int, root: Path = Path("/")) -> Path:
    """Return a group's device node."""
    return root / "dev/vfio" / str(number)


def bind_commands(name: str, driver: str | None, target: str = "vfio-pci") -> str:
    """Return the shell commands that bind PCI device *name*, now bound to *driver*, to *target*."""
    device = f"/sys/bus/pci/devices/{name}"
    commands = [f"modprobe {target}", f"echo {target} > {device}/driver_override"]
    if driver is not None:
        commands.append(f"echo {name} > {device}/driver/unbind")
    return "; ".join([*commands, f"echo {name} > /sys/bus/pci/drivers_probe"])
