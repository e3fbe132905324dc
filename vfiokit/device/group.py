"""One IOMMU group: its node ``/dev/vfio/N``, whether it is viable, and the devices got through it."""

from __future__ import annotations

import errno
import struct
from pathlib import Path

from vfiokit.device.iommu_group import bind_commands, members, node_path
from vfiokit.device.kernel import Kernel
from vfiokit.device.refusals import busy, group_not_viable, group_refused
from vfiokit.errors import DeviceBusyError, DeviceError, DeviceNotFoundError, NodeAccessError
from vfiokit.uapi import vfio

__all__ = ("Group",)


class Group:
    """An open, viable IOMMU group.

    A group can be open once only, so devices of the same group share one `Group` by way of their
    container, which counts its users.

    :raises GroupNotViableError: a sibling is bound to a driver that is not VFIO's
    :raises DeviceBusyError: somebody has the group open
    :raises DeviceNotFoundError: no device of the group is bound to a VFIO driver
    :raises NodeAccessError: the node may not be opened
    """

    def __init__(self, number: int, *, kernel: Kernel, root: Path = Path("/")) -> None:
        self.number = number
        self.node = f"/dev/vfio/{number}"
        self.users = 0
        self._kernel = kernel
        self._root = root
        try:
            self._fd: int | None = kernel.open(str(node_path(number, root)))
        except OSError as err:
            raise group_refused(err, number, root) from err
        try:
            self._check_status()
        except BaseException:
            self.close()
            raise

    def _check_status(self) -> None:
        status = vfio.GroupStatus(argsz=vfio.GroupStatus.c_size())
        buffer = bytearray(bytes(status))
        try:
            self._kernel.ioctl(self.fd, vfio.VFIO_GROUP_GET_STATUS, buffer)
        except OSError as err:
            raise DeviceError(self.node, "VFIO_GROUP_GET_STATUS", err.errno or errno.EIO) from err
        flags = vfio.GroupStatus.read_from(buffer).flags
        # A group that is in a container already is viable for its owner, and that is not us.
        if flags & vfio.VFIO_GROUP_FLAGS_CONTAINER_SET:
            raise busy(node_path(self.number, self._root), "use a group that is in a container", self._root)
        if not flags & vfio.VFIO_GROUP_FLAGS_VIABLE:
            raise group_not_viable(self.number, self._root)

    @property
    def fd(self) -> int:
        """The group's file descriptor; DeviceError(EBADF) after `close`."""
        if self._fd is None:
            raise DeviceError(self.node, "use a closed group", errno.EBADF)
        return self._fd

    def set_container(self, container_fd: int) -> None:
        """Put the group into a container.

        GroupNotViableError when another driver owns the group's DMA, as Linux 6.1 answers only here.
        """
        buffer = bytearray(struct.pack("i", container_fd))
        try:
            self._kernel.ioctl(self.fd, vfio.VFIO_GROUP_SET_CONTAINER, buffer)
        except OSError as err:
            if err.errno in (errno.EBUSY, errno.EPERM) and any(
                m.blocks for m in members(self.number, self._root)
            ):
                raise group_not_viable(self.number, self._root) from err
            operation = "VFIO_GROUP_SET_CONTAINER"
            if err.errno == errno.EBUSY:
                raise busy(node_path(self.number, self._root), operation, self._root) from err
            hint = (
                "its IOMMU cannot share a container with the groups that are there: use one more container"
                if err.errno == errno.EINVAL
                else None
            )
            raise DeviceError(self.node, operation, err.errno or errno.EIO, hint=hint) from err

    def device_fd(self, name: str) -> int:
        """Return a new file descriptor of device *name* (a PCI address, an mdev UUID).

        DeviceNotFoundError when the group has no such device bound to a VFIO driver.
        """
        operation = f"VFIO_GROUP_GET_DEVICE_FD({name})"
        try:
            return self._kernel.ioctl(
                self.fd, vfio.VFIO_GROUP_GET_DEVICE_FD, bytearray(name.encode() + b"\0")
            )
        except OSError as err:
            number = err.errno or errno.EIO
            if number in (errno.ENODEV, errno.ENOENT):
                raise DeviceNotFoundError(self.node, operation, number, hint=self._not_here(name)) from err
            if number == errno.EBUSY:
                raise DeviceBusyError(
                    self.node,
                    operation,
                    number,
                    hint="the device is open, or being reset or removed: try again",
                ) from err
            if number in (errno.EACCES, errno.EPERM):
                raise NodeAccessError(
                    self.node,
                    operation,
                    number,
                    hint="a virtual function of a device bound to vfio-pci needs its VF token, which this "
                    "program cannot give: bind the physical function to its own driver",
                ) from err
            raise DeviceError(
                self.node, operation, number, hint="`dmesg | tail` has the vendor driver's own message"
            ) from err

    def _not_here(self, name: str) -> str:
        for member in members(self.number, self._root):
            if member.name == name and not member.vfio and member.bus == "pci":
                return (
                    f"{member} is not bound to a VFIO driver; as root: {bind_commands(name, member.driver)}"
                )
        others = ", ".join(map(str, members(self.number, self._root)))
        return f"members of the group: {others or 'none in sysfs'}"

    def close(self) -> None:
        """Close the group, which takes it out of its container. Closing twice is allowed."""
        if self._fd is not None:
            fd, self._fd = self._fd, None
            self._kernel.close(fd)
