"""Opening a device by its address, whatever kind it is.

================================== ==============================================================
address                            what
================================== ==============================================================
``emulated:v5?state=64M``          the vendor driver in Python; options in :mod:`vfiokit.emulated`
``vfio:0000:3b:00.1``              a PCI device bound to vfio-pci
``vfio:UUID``, ``mdev:UUID``       a mediated device
``0000:3b:00.1``, ``UUID``, a path the same without a scheme
``lab:v5``                         a device of the lab's guest, which `vfiokit lab up` leaves running
================================== ==============================================================

A ``vfio:`` or ``lab:`` address may carry workload options for our own virtual device of the lab (``dma``,
``dirty``, ``pattern``, ``param``, ``seed``): ``mdev:UUID?dma=8M/s&pattern=hot``.
"""

from __future__ import annotations

from vfiokit.clock import Clock
from vfiokit.device.base import Device
from vfiokit.errors import AddressError

__all__ = ("open_device",)


def open_device(address: str, *, clock: Clock | None = None) -> Device:
    """Open the device at *address*.

    :param clock: shared by emulated devices of one run; their own by default
    :raises AddressError: the address or an option cannot be understood
    :raises DeviceError: the device cannot be had; the error says what to do
    """
    scheme = address.partition(":")[0]
    if scheme == "emulated":
        from vfiokit.emulated import open_emulated

        return open_emulated(address, clock=clock)
    if "://" in address:
        raise AddressError(
            f"{address}: no such kind of device", hint="emulated:v5, vfio:PCI-ADDRESS, mdev:UUID, lab:v5"
        )
    place, _, options = address.partition("?")
    device: Device
    if scheme == "lab":
        from vfiokit.lab.remote import open_lab

        device = open_lab(place)
    else:
        from vfiokit.device.address import open_vfio

        device = open_vfio(place)
    if not options:
        return device
    from vfiokit.emulated.program import program

    try:
        return program(device, options)
    except BaseException:
        device.close()
        raise
