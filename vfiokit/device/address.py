"""How devices are named, and opening one of the kernel's by its name.

=================================== =======================================================
``vfio:0000:3b:00.1``               a PCI device bound to a VFIO driver
``vfio:UUID``, ``mdev:UUID``        a mediated device
``/sys/bus/pci/devices/…``          any device's directory in sysfs
``0000:3b:00.1``, ``3b:00.1``, UUID the same without scheme; a PCI domain not given is 0000
``emulated:v5?state=64M``           other schemes: theirs to read, `parse` only tells them apart
=================================== =======================================================
"""

from __future__ import annotations

import re
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

from vfiokit.device.container import Container
from vfiokit.device.iommu_group import group_number
from vfiokit.device.kernel import Kernel
from vfiokit.device.vfio_device import VfioDevice
from vfiokit.errors import AddressError

__all__ = ("Address", "is_mdev", "is_pci", "open_vfio", "parse", "vfio_name")

_PCI = re.compile(r"(?:([0-9a-f]{4,8}):)?([0-9a-f]{2}):([01][0-9a-f])\.([0-7])", re.IGNORECASE)
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_SCHEME = re.compile(r"([a-z][a-z0-9-]*):(.*)", re.IGNORECASE | re.DOTALL)
_EXAMPLES = (
    "vfio:0000:3b:00.1, mdev:83b8f4f2-509f-382f-3c1e-e6bfe0fa1001, "
    "/sys/bus/pci/devices/0000:3b:00.1, or emulated:v5"
)


class Address(NamedTuple):
    """An address taken apart."""

    scheme: str  # in lower case
    rest: str  # as it was written


def is_pci(text: str) -> bool:
    """Return whether *text* is a PCI address, with or without a domain."""
    return _PCI.fullmatch(text) is not None


def is_mdev(text: str) -> bool:
    """Return whether *text* is a UUID, as mediated devices are named."""
    return _UUID.fullmatch(text) is not None


def parse(address: str) -> Address:
    """Return scheme and rest; what has no scheme but names a device of the kernel has ``vfio``.

    AddressError when it is neither.
    """
    text = address.strip()
    # A PCI address without its domain begins like a scheme, so it is looked for first.
    if is_pci(text) or is_mdev(text) or text.startswith(("/", "./", "../")):
        return Address("vfio", text)
    found = _SCHEME.fullmatch(text)
    if found is None:
        raise AddressError(f"{address!r} names no device", hint=f"write {_EXAMPLES}")
    return Address(found[1].lower(), found[2])


def vfio_name(address: str, root: Path = Path("/")) -> str:
    """Return the VFIO name (a PCI address with domain, an mdev UUID, a sysfs directory's name).

    Nothing but a sysfs path is looked up; AddressError when the address is not of this kind.
    """
    scheme, rest = parse(address)
    if scheme not in ("vfio", "mdev"):
        raise AddressError(
            f"{address!r} is not a device of the kernel's VFIO", hint="its scheme is to be vfio: or mdev:"
        )
    if is_mdev(rest):
        return rest.lower()
    if scheme == "mdev":
        raise AddressError(f"{address!r}: a mediated device is named by a UUID", hint=f"write {_EXAMPLES}")
    pci = _PCI.fullmatch(rest)
    if pci is not None:
        return f"{pci[1] or '0000'}:{pci[2]}:{pci[3]}.{pci[4]}".lower()
    if rest.startswith(("/", "./", "../")):
        path = Path(rest)
        if path.is_absolute() and not path.is_relative_to(root):
            path = root / rest.lstrip("/")
        if not path.is_dir():
            raise AddressError(f"{address!r}: there is no directory {path}", hint=f"write {_EXAMPLES}")
        return path.resolve().name
    raise AddressError(f"{address!r}: {rest!r} is no PCI address, UUID or path", hint=f"write {_EXAMPLES}")


def open_vfio(
    address: str, *, container: Container | None = None, kernel: Kernel | None = None, root: Path = Path("/")
) -> VfioDevice:
    """Open a device by address: ``vfio:0000:3b:00.1``, ``mdev:UUID``, a sysfs path, a PCI address, a UUID.

    :param container: to share with other devices of the VM; its own when not given
    :param kernel: who performs the system calls; the container's, or the running kernel
    :param root: where ``/sys``, ``/dev`` and ``/proc`` are

    Whatever was opened is closed again when a step fails.

    :raises AddressError: the address cannot be understood
    :raises DeviceError: or one of its kinds: not found, busy, group not viable, node not accessible
    """
    with ExitStack() as undo:
        if container is None:
            name = vfio_name(address, root)
            number = group_number(name, root)
            container = undo.enter_context(Container(kernel=kernel, root=root))
        else:
            name = vfio_name(address, container.root)
            number = group_number(name, container.root)
        group = container.attach(number)
        undo.callback(container.detach, group)
        undo.callback(container.unmap_all, name)
        fd = group.device_fd(name)
        undo.callback(container.kernel.close, fd)
        device = VfioDevice(name, address, fd, container, group)
        device.info()  # one that cannot even say what it is shall not be handed out
        container.devices.append(device)
        device.adopt(undo.pop_all())
    return device
