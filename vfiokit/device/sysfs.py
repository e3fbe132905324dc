"""Discovery: which devices there are, in which group, whether one can be used now, and if not why.

::

    for found in discover():
        print(found)               # 0000:3b:00.1  group 42  vfio-pci  usable
    print(probe_migration(found))  # opens it: only the device itself tells whether it migrates

All of it is read from ``/sys`` and ``/dev`` below *root*; nothing is opened but by `probe_migration`.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

from vfiokit.device.address import open_vfio
from vfiokit.device.binding import bind, create_mdev, remove_mdev, unbind
from vfiokit.device.iommu_group import (
    Member,
    bind_commands,
    driver_of,
    group_of,
    is_vfio_driver,
    link_name,
    members,
    node_path,
)
from vfiokit.device.kernel import Kernel
from vfiokit.device.refusals import node_access_text
from vfiokit.errors import DeviceError, RuleError
from vfiokit.uapi import migration_v5, vfio
from vfiokit.uapi.pci_classes import class_text

__all__ = (
    "Found",
    "MdevType",
    "bind",
    "create_mdev",
    "discover",
    "mdev_types",
    "probe_migration",
    "remove_mdev",
    "unbind",
)


@dataclass(frozen=True, slots=True)
class Found:
    """A device that is there."""

    name: str  # the VFIO name
    kind: str  # "pci" or "mdev"
    path: Path  # its directory in sysfs
    driver: str | None
    group: int | None  # IOMMU group
    siblings: tuple[Member, ...] = ()  # the others in the group
    node: Path | None = None  # the group's node; it may not be there yet
    node_there: bool = False
    accessible: bool = False  # this process may open the node
    usable: bool = False  # it could be opened now, unless somebody has it open
    why_not: str = ""  # why it is not usable
    what_to_do: str = ""
    vendor: int | None = None  # PCI only, as the next two
    device: int | None = None
    class_code: int | None = None
    parent: str | None = None  # mdev only, as the next one
    mdev_type: str | None = None
    blockers: tuple[Member, ...] = field(default=())  # siblings that keep the group from being viable

    @property
    def title(self) -> str:
        """What it is: ids and class, or type and parent."""
        if self.kind == "mdev":
            return f"{self.mdev_type or 'unknown type'} of {self.parent or 'unknown parent'}"
        ids = f"{self.vendor or 0:04x}:{self.device or 0:04x}"
        return f"{ids} {class_text(self.class_code)}" if self.class_code is not None else ids

    def __str__(self) -> str:
        group = f"group {self.group}" if self.group is not None else "no group"
        state = "usable" if self.usable else f"not usable: {self.why_not}"
        return f"{self.name}  {group}  {self.driver or 'no driver'}  {self.title}  {state}"


@dataclass(frozen=True, slots=True)
class MdevType:
    """A type of mediated device that a parent offers."""

    parent: str
    type: str
    path: Path  # what `create_mdev` wants
    available: int | None  # instances that can still be made
    device_api: str  # "vfio-pci", …
    name: str = ""
    description: str = ""


def _text(path: Path) -> str:
    try:
        return path.read_text().strip()
    except (OSError, UnicodeDecodeError):
        return ""


def _number(path: Path, base: int = 16) -> int | None:
    try:
        return int(_text(path), base)
    except ValueError:
        return None


def _children(directory: Path) -> list[Path]:
    try:
        return sorted(directory.iterdir())
    except OSError:
        return []


def discover(root: Path = Path("/")) -> list[Found]:
    """Return all PCI devices and mediated devices, by name; empty where there is no sysfs."""
    devices = [_found(path, "pci", root) for path in _children(root / "sys/bus/pci/devices")]
    return devices + [_found(path, "mdev", root) for path in _children(root / "sys/bus/mdev/devices")]


def _found(path: Path, kind: str, root: Path) -> Found:
    name = path.name
    driver = driver_of(path)
    group = group_of(path)
    everyone = members(group, root) if group is not None else ()
    siblings = tuple(member for member in everyone if member.name != name)
    blockers = tuple(member for member in siblings if member.blocks)
    vfio_bound = kind == "mdev" or is_vfio_driver(path, driver)
    node = node_path(group, root) if group is not None else None
    there = node is not None and node.exists()
    accessible = there and node is not None and os.access(node, os.R_OK | os.W_OK)
    why, what = _why_not(name, kind, driver, group, blockers, node, vfio_bound, there, accessible)
    return Found(
        name=name,
        kind=kind,
        path=path,
        driver=driver,
        group=group,
        siblings=siblings,
        node=node,
        node_there=there,
        accessible=accessible,
        usable=not why,
        why_not=why,
        what_to_do=what,
        vendor=_number(path / "vendor"),
        device=_number(path / "device"),
        class_code=_number(path / "class"),
        # A mediated device's directory is in its parent's.
        parent=path.resolve().parent.name if kind == "mdev" else None,
        mdev_type=link_name(path / "mdev_type"),
        blockers=blockers,
    )


def _why_not(
    name: str,
    kind: str,
    driver: str | None,
    group: int | None,
    blockers: tuple[Member, ...],
    node: Path | None,
    vfio_bound: bool,
    there: bool,
    accessible: bool,
) -> tuple[str, str]:
    """Return why a device cannot be used now and what to do; both empty when it can."""
    if group is None or node is None:
        if kind == "mdev":
            return "it has no IOMMU group", "load its parent's VFIO driver"
        return "it has no IOMMU group", "switch the IOMMU on (firmware; intel_iommu=on for Intel)"
    if not vfio_bound:
        why = f"it is bound to {driver}" if driver else "it is bound to no driver"
        return why, f"as root: {bind_commands(name, driver)}"
    if blockers:
        who = ", ".join(map(str, blockers))
        what = "; ".join(bind_commands(member.name, member.driver) for member in blockers)
        return f"its group {group} is not viable: {who}", f"as root: {what}"
    if not there:
        return f"there is no /dev/vfio/{group}", "`modprobe -a vfio vfio_iommu_type1`; is udev running?"
    if not accessible:
        return (
            f"/dev/vfio/{group} may not be opened ({node_access_text(node)})",
            f"`sudo chown $USER /dev/vfio/{group}`, or run as root",
        )
    return "", ""


def mdev_types(root: Path = Path("/")) -> list[MdevType]:
    """Return the types of mediated devices on offer, by parent and type."""
    types = []
    for parent in _children(root / "sys/class/mdev_bus"):
        for path in _children(parent / "mdev_supported_types"):
            types.append(
                MdevType(
                    parent=parent.name,
                    type=path.name,
                    path=path,
                    available=_number(path / "available_instances", 10),
                    device_api=_text(path / "device_api"),
                    name=_text(path / "name"),
                    description=_text(path / "description"),
                )
            )
    return types


def probe_migration(found: Found, *, kernel: Kernel | None = None, root: Path = Path("/")) -> str:
    """Open a device and say which migration region it has, or why that cannot be told.

    The answer begins with ``v5`` for type 2, ``v1`` for type 3, and else says what is the matter. Opening
    a vfio-pci device resets it.
    """
    if not found.usable:
        return f"cannot tell: {found.why_not}"
    types = {
        (migration_v5.VFIO_REGION_TYPE_MIGRATION, migration_v5.VFIO_REGION_SUBTYPE_MIGRATION): "v5",
        (
            vfio.VFIO_REGION_TYPE_MIGRATION_DEPRECATED,
            vfio.VFIO_REGION_SUBTYPE_MIGRATION_DEPRECATED,
        ): "v1",
    }
    try:
        with open_vfio(f"vfio:{found.name}", kernel=kernel, root=root) as device:
            count = device.info().num_regions
            for index in range(count):
                try:
                    region = device.region(index)
                except DeviceError:
                    continue  # a hole
                if region.type in types:
                    kind, subtype = region.type
                    return f"{types[kind, subtype]}: region {index} has type ({kind}, {subtype})"
    except (DeviceError, RuleError) as err:
        return f"cannot tell: {err.message}"
    return f"none of its {count} regions is a migration region"
