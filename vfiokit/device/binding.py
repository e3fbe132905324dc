"""Changing what sysfs lets one change: which driver a PCI device has, which mediated devices there are.

These need root. Nothing here is done unasked: opening a device never binds it.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

from vfiokit.device.address import vfio_name
from vfiokit.device.iommu_group import device_path, driver_of
from vfiokit.errors import DeviceBusyError, DeviceError, DeviceNotFoundError

__all__ = ("Write", "bind", "create_mdev", "remove_mdev", "unbind", "write_attribute")

Write = Callable[[Path, str], None]


def write_attribute(path: Path, text: str) -> None:
    """Write a sysfs attribute in one go; OSError as the kernel gives it. Never creates a file."""
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, text.encode())
    finally:
        os.close(fd)


def _write(device: str, path: Path, text: str, write: Write, hint: str | None = None) -> None:
    try:
        write(path, text)
    except OSError as err:
        number = err.errno or errno.EIO
        if hint is None and number in (errno.EACCES, errno.EPERM):
            hint = "this needs root"
        operation = f"write {text.strip()!r} to {path}"
        if number == errno.EBUSY:
            raise DeviceBusyError(device, operation, number, hint=hint) from err
        raise DeviceError(device, operation, number, hint=hint) from err


def bind(
    pci: str, driver: str = "vfio-pci", *, root: Path = Path("/"), write: Write = write_attribute
) -> None:
    """Take PCI device *pci* from its driver and bind it to *driver*, by driver_override.

    Nothing happens when it is bound to *driver* already. When a step fails the device may be left
    without a driver; `unbind` gives it back to its own.

    :raises DeviceNotFoundError: no such device, or *driver* is not loaded
    :raises DeviceError: the kernel refuses, or the device ends up with another driver
    """
    name = vfio_name(pci, root)
    device = device_path(name, root)
    now = driver_of(device)
    if now == driver:
        return
    if not (root / "sys/bus/pci/drivers" / driver).is_dir():
        raise DeviceNotFoundError(
            name, f"bind to {driver}: no such driver", errno.ENODEV, hint=f"`modprobe {driver}` first"
        )
    _write(name, device / "driver_override", driver, write)
    if now is not None:
        _write(name, device / "driver/unbind", name, write)
    _write(name, root / "sys/bus/pci/drivers_probe", name, write)
    got = driver_of(device)
    if got != driver:
        raise DeviceError(
            name,
            f"bind to {driver}: afterwards it is bound to {got or 'no driver'}",
            errno.ENODEV,
            hint=f"`dmesg | tail` has {driver}'s reason; a device needs an IOMMU group to be bound",
        )


def unbind(pci: str, *, probe: bool = True, root: Path = Path("/"), write: Write = write_attribute) -> None:
    """Take PCI device *pci* from its driver and clear its driver_override.

    :param probe: let the kernel bind it to its own driver again
    """
    name = vfio_name(pci, root)
    device = device_path(name, root)
    _write(name, device / "driver_override", "\n", write)
    if driver_of(device) is not None:
        _write(name, device / "driver/unbind", name, write)
    if probe:
        # No driver may want the device; the kernel then answers well, or with ENODEV.
        try:
            write(root / "sys/bus/pci/drivers_probe", name)
        except OSError as err:
            if err.errno != errno.ENODEV:
                raise DeviceError(name, "probe for its own driver", err.errno or errno.EIO) from err


def create_mdev(parent_type_path: Path, uuid: str, *, write: Write = write_attribute) -> None:
    """Create a mediated device by writing *uuid* to a type's ``create``.

    :param parent_type_path: ``…/mdev_supported_types/TYPE``, as :func:`~vfiokit.device.sysfs.mdev_types`
        lists them
    """
    name = vfio_name(f"mdev:{uuid}")
    if not parent_type_path.is_dir():
        raise DeviceNotFoundError(
            name,
            f"create it from {parent_type_path}",
            errno.ENOENT,
            hint="the types on offer: ls -d /sys/class/mdev_bus/*/mdev_supported_types/*",
        )
    try:
        left = int((parent_type_path / "available_instances").read_text())
    except (OSError, ValueError):
        left = 1
    hint = None
    if left == 0:
        hint = "available_instances is 0: remove a device of the type first"
    elif parent_type_path.joinpath("devices", name).exists():
        hint = "a device of this UUID is there: choose another, as `uuidgen` makes them"
    _write(name, parent_type_path / "create", name, write, hint)


def remove_mdev(uuid: str, *, root: Path = Path("/"), write: Write = write_attribute) -> None:
    """Remove a mediated device; DeviceBusyError while it is open."""
    name = vfio_name(f"mdev:{uuid}", root)
    _write(name, device_path(name, root) / "remove", "1", write, "close it wherever it is open")
