"""The machines that the lab can start, as a table.

``mdev`` is a plain PC: mediated devices only, as they need no IOMMU. ``vtd`` has
an emulated Intel IOMMU (VT-d) and three PCI devices that vfio-pci can take.
``full`` is both at once and the default: one boot serves every test.

The guest's kernel has the same few modules in each; a machine's own are named
here without their dependencies, which :mod:`vfiokit.lab.modules` finds.
"""

from __future__ import annotations

from dataclasses import dataclass

from vfiokit.errors import LabError

__all__ = ("DEFAULT", "MACHINES", "Machine", "machine")

TRANSPORT = ("virtio_pci", "9pnet_virtio", "9p")
"""Modules by which the guest reaches the host's files; loaded first."""

AGENT = ("virtio_console",)
"""Modules by which a guest that stays speaks with the host; loaded when it does."""

VFIO = ("vfio", "vfio_iommu_type1", "mdev", "vfio_pci")
"""Modules of VFIO itself; loaded before the lab's own driver."""

CONSOLE = ("console=ttyS0", "loglevel=5", "panic=-1", "oops=panic")
"""Warnings and worse reach the console; an oops ends the guest at once instead of hanging it."""

FAST = ("nokaslr", "mitigations=off", "random.trust_cpu=on", "tsc=reliable")
"""What an emulated CPU need not spend its time on."""

IOMMU = ("intel_iommu=on", "no_timer_check")
"""VT-d; on a busy host the kernel's test of its timer through a remapped IO-APIC fails, and it panics."""

HUGEPAGES = ("hugepages=16",)
"""16 pages of 2 MiB, for DMA from huge pages (``memfd`` or ``MAP_HUGETLB``; nothing is mounted)."""

# Devices at fixed places, so that tests can name them: 0000:00:10.0 and so on.
PCI_DEVICES = (
    *("-device", "edu,addr=10.0"),
    *("-drive", "if=none,id=nvme,driver=null-co,size=64M,read-zeroes=on"),
    *("-device", "nvme,addr=11.0,drive=nvme,serial=vfiokit"),
    *("-netdev", "user,id=net,restrict=on"),
    *("-device", "e1000e,addr=12.0,netdev=net"),
)


@dataclass(frozen=True, slots=True)
class Machine:
    """One row of the table.

    :param name: what the user calls it
    :param text: what it has, in a few words
    :param qemu: arguments of ``qemu-system-x86_64``
    :param append: words on the kernel's command line
    :param modules: kernel modules to load, besides :data:`TRANSPORT`
    :param pci: address to device, of those that are there to be taken by vfio-pci
    """

    name: str
    text: str
    qemu: tuple[str, ...]
    append: tuple[str, ...] = (*CONSOLE, *FAST, *HUGEPAGES)
    modules: tuple[str, ...] = VFIO
    pci: tuple[tuple[str, str], ...] = ()


_VTD = (
    # Interrupt remapping needs the split irqchip (QEMU docs, intel-iommu).
    *("-machine", "q35,kernel-irqchip=split"),
    *("-device", "intel-iommu,intremap=on"),
    *PCI_DEVICES,
)
_VTD_PCI = (("0000:00:10.0", "edu"), ("0000:00:11.0", "nvme"), ("0000:00:12.0", "e1000e"))

MACHINES: dict[str, Machine] = {
    row.name: row
    for row in (
        Machine("mdev", "a PC without an IOMMU: mediated devices", ("-machine", "pc")),
        Machine(
            "full",
            "q35 with VT-d, edu, nvme and e1000e; mediated devices too",
            _VTD,
            append=(*CONSOLE, *FAST, *HUGEPAGES, *IOMMU),
            pci=_VTD_PCI,
        ),
        Machine(
            "vtd",
            "q35 with VT-d, edu, nvme and e1000e; no mediated devices",
            _VTD,
            append=(*CONSOLE, *FAST, *HUGEPAGES, *IOMMU),
            modules=("vfio", "vfio_iommu_type1", "vfio_pci"),
            pci=_VTD_PCI,
        ),
    )
}

DEFAULT = "full"


def machine(name: str) -> Machine:
    """Return the machine of this name.

    :raises LabError: there is none
    """
    try:
        return MACHINES[name]
    except KeyError:
        raise LabError(f"the lab has no machine {name!r}", hint=f"one of: {', '.join(MACHINES)}") from None
