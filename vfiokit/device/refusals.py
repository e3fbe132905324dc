"""What a refusal of the kernel means, and what to do about it.

Each function takes what was tried and the OSError that came back, and returns the error to raise; it
reads ``/sys`` and ``/proc`` to say who is in the way. *root* is where those are.
"""

from __future__ import annotations

import errno
import grp
import os
import pwd
import resource
import stat
from collections.abc import Iterable
from pathlib import Path

from vfiokit.device.iommu_group import Member, bind_commands, members, node_path
from vfiokit.errors import (
    DeviceBusyError,
    DeviceError,
    DeviceNotFoundError,
    GroupNotViableError,
    MemlockError,
    NodeAccessError,
)

__all__ = (
    "busy",
    "container_refused",
    "group_not_viable",
    "group_refused",
    "holders",
    "map_dma_refused",
    "memlock_text",
    "node_access_text",
)

_MODULES = "modprobe -a vfio vfio_iommu_type1 vfio-pci"


def node_access_text(node: Path) -> str:
    """Return a node's owner, group and mode in words, as ``owner root, group root, mode crw-------``."""
    try:
        status = node.stat()
    except OSError:
        return "owner and mode unknown"
    try:
        owner = pwd.getpwuid(status.st_uid).pw_name
    except KeyError:
        owner = str(status.st_uid)
    try:
        group = grp.getgrgid(status.st_gid).gr_name
    except KeyError:
        group = str(status.st_gid)
    return f"owner {owner}, group {group}, mode {stat.filemode(status.st_mode)}"


def holders(node: str, root: Path = Path("/")) -> list[tuple[int, str]]:
    """Return (pid, command) of the processes that have *node* open, as far as this one may see."""
    found = []
    for entry in (root / "proc").glob("[0-9]*"):
        try:
            links = list((entry / "fd").iterdir())
            if any(_points_at(link, node) for link in links):
                found.append((int(entry.name), (entry / "comm").read_text().strip()))
        except OSError:  # the process went away, or is not ours to look at
            continue
    return sorted(found)


def _points_at(link: Path, node: str) -> bool:
    try:
        return link.readlink() == Path(node)
    except OSError:  # closed meanwhile
        return False


def busy(node: Path, operation: str, root: Path = Path("/")) -> DeviceBusyError:
    """Return the error for EBUSY on a group's node, naming who has it open."""
    real = f"/dev/vfio/{node.name}"
    who = [
        "this process" if pid == os.getpid() else f"{command} (pid {pid})"
        for pid, command in holders(real, root)
    ]
    if not who:
        hint = f"`fuser -v {real}` as root shows who has the group open; another device of it counts too"
    elif "this process" in who:
        hint = "this process has the group open: close its device first, or open both with one container"
    else:
        hint = f"the group is open in {', '.join(who)}: end that first"
    rule = "the node of an IOMMU group can be open once at a time (Linux drivers/vfio)"
    return DeviceBusyError(real, operation, errno.EBUSY, rule=rule, hint=hint)


def _access(node: Path, error: int) -> NodeAccessError:
    name = f"/dev/vfio/{node.name}"
    user = _user()
    return NodeAccessError(
        name,
        f"open ({node_access_text(node)}; this process is {user})",
        error,
        hint=f"`sudo chown {user} {name}`; for good, a udev rule: "
        f'SUBSYSTEM=="vfio", OWNER="{user}"; or run as root',
    )


def _user() -> str:
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return str(os.geteuid())


def container_refused(error: OSError, root: Path = Path("/")) -> DeviceError:
    """Return the error for an open of ``/dev/vfio/vfio`` that failed."""
    number = error.errno or errno.EIO
    node = root / "dev/vfio/vfio"
    if number in (errno.EACCES, errno.EPERM):
        return _access(node, number)
    if number in (errno.ENOENT, errno.ENODEV, errno.ENXIO):
        # The node may be there without the module: it is made for loading on demand.
        return DeviceNotFoundError(
            "/dev/vfio/vfio", "open", number, hint=f"the kernel's VFIO is not loaded: `{_MODULES}`"
        )
    return DeviceError("/dev/vfio/vfio", "open", number)


def group_refused(error: OSError, group: int, root: Path = Path("/")) -> DeviceError:
    """Return the error for an open of ``/dev/vfio/GROUP`` that failed."""
    number = error.errno or errno.EIO
    node = node_path(group, root)
    name = f"/dev/vfio/{group}"
    if number == errno.EBUSY:
        return busy(node, "open", root)
    if number in (errno.EACCES, errno.EPERM):
        return _access(node, number)
    if number in (errno.ENOENT, errno.ENODEV, errno.ENXIO):
        return DeviceNotFoundError(name, "open", number, hint=_bind_hint(members(group, root)))
    return DeviceError(name, "open", number)


def _bind_hint(found: Iterable[Member]) -> str:
    lines = []
    for member in found:
        if member.vfio:
            continue
        if member.bus == "pci":
            state = f"bound to {member.driver}" if member.driver else "bound to no driver"
            lines.append(f"{member.name} is {state}; as root: {bind_commands(member.name, member.driver)}")
        else:
            lines.append(f"{member.name} on bus {member.bus} is not bound to a VFIO driver: load it")
    return "\n        ".join(lines) or "the group has no device bound to a VFIO driver"


def group_not_viable(group: int, root: Path = Path("/")) -> GroupNotViableError:
    """Return the error for a group without VFIO_GROUP_FLAGS_VIABLE, naming the members in the way."""
    found = members(group, root)
    blocking = [member for member in found if member.blocks]
    who = ", ".join(f"{member.name} is bound to {member.driver}" for member in blocking)
    hint = _bind_hint(blocking) if blocking else f"members: {', '.join(map(str, found)) or 'not in sysfs'}"
    return GroupNotViableError(
        f"/dev/vfio/{group}",
        f"use IOMMU group {group}, which is not viable" + (f": {who}" if who else ""),
        errno.EPERM,
        rule="every device of the group is bound to a VFIO driver or to none "
        "(Linux Documentation/driver-api/vfio.rst)",
        hint=hint,
    )


def _amount(size: int) -> str:
    return "unlimited" if size == resource.RLIM_INFINITY else f"{size >> 10} KiB"


def memlock_text(root: Path = Path("/")) -> str:
    """Return this process's locked memory and its limits in words."""
    soft, hard = resource.getrlimit(resource.RLIMIT_MEMLOCK)
    locked = ""
    try:
        for line in (root / "proc/self/status").read_text().splitlines():
            if line.startswith("VmLck:"):
                locked = f"; locked now: {' '.join(line.split()[1:])}"
    except OSError:
        pass
    return f"RLIMIT_MEMLOCK is {_amount(soft)} (hard limit {_amount(hard)}){locked}"


def map_dma_refused(
    device: str, operation: str, error: OSError, size: int, ranges: str, root: Path = Path("/")
) -> DeviceError:
    """Return the error for a VFIO_IOMMU_MAP_DMA of *size* bytes that failed.

    *ranges* are the usable IOVA ranges in words, "" when the kernel does not say.
    """
    number = error.errno or errno.EIO
    if number == errno.ENOMEM:
        return MemlockError(
            device,
            operation,
            number,
            rule=f"pinned memory counts as locked: {size >> 10} KiB more are needed; {memlock_text(root)}",
            hint="`ulimit -l unlimited` before starting (LimitMEMLOCK= in a systemd unit, memlock in "
            "/etc/security/limits.conf), or run with CAP_IPC_LOCK",
        )
    hints = {
        errno.EEXIST: "the range overlaps a mapping that is there: unmap that first",
        errno.EINVAL: "iova, size and address must be multiples of the IOMMU's page size"
        + (f", and the range within {ranges}" if ranges else ""),
        errno.EFAULT: "the memory cannot be pinned: it must be writable and belong to this process",
        errno.ENOSPC: "too many mappings: raise dma_entry_limit of module vfio_iommu_type1",
    }
    return DeviceError(device, operation, number, hint=hints.get(number))
