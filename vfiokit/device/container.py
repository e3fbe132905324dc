"""A container: the IOMMU domain that the devices of one VM share, and the memory mapped in it.

The node is ``/dev/vfio/vfio``. The IOMMU is set when the first group comes, TYPE1v2 where the kernel has
it and TYPE1 else; mappings last until they are unmapped or the last group leaves.

Two devices of one VM in two containers would pin the VM's memory twice; give both the same::

    with Container() as container:
        a = open_vfio("vfio:0000:3b:00.1", container=container)
        b = open_vfio("vfio:0000:3b:00.2", container=container)
"""

from __future__ import annotations

import ctypes
import errno
from dataclasses import dataclass
from pathlib import Path

from vfiokit.device.base import ClosesOnExit
from vfiokit.device.group import Group
from vfiokit.device.info_chain import ask
from vfiokit.device.iommu_info import IommuInfo, parse_iommu_info
from vfiokit.device.kernel import Kernel, LinuxKernel
from vfiokit.device.refusals import container_refused, map_dma_refused
from vfiokit.errors import DeviceError
from vfiokit.uapi import vfio

__all__ = ("Container", "address_of")

_NODE = "/dev/vfio/vfio"
_IOMMUS = {vfio.VFIO_TYPE1v2_IOMMU: "TYPE1v2", vfio.VFIO_TYPE1_IOMMU: "TYPE1"}


@dataclass(slots=True)
class _Mapping:
    memory: memoryview  # held, so that the memory outlives the mapping
    address: int
    flags: int
    users: set[str]  # who mapped it: devices by name


def address_of(memory: memoryview) -> int:
    """Return the address of a writable, contiguous buffer; TypeError or BufferError when it is not."""
    return ctypes.addressof(ctypes.c_char.from_buffer(memory))


class Container(ClosesOnExit):
    """An open container.

    :param kernel: who performs the system calls; the running kernel when not given
    :param root: where ``/sys``, ``/dev`` and ``/proc`` are

    :raises DeviceNotFoundError: the kernel's VFIO is not loaded
    :raises NodeAccessError: ``/dev/vfio/vfio`` may not be opened
    """

    def __init__(self, *, kernel: Kernel | None = None, root: Path = Path("/")) -> None:
        self.kernel: Kernel = kernel or LinuxKernel()
        self.root = root
        self.iommu: int | None = None  # VFIO_TYPE1v2_IOMMU or VFIO_TYPE1_IOMMU once a group is in
        self.devices: list[ClosesOnExit] = []  # those that are open in it
        self._groups: dict[int, Group] = {}
        self._mappings: dict[tuple[int, int], _Mapping] = {}  # by (iova, size)
        self._info: IommuInfo | None = None
        try:
            self._fd: int | None = self.kernel.open(str(root / "dev/vfio/vfio"))
        except OSError as err:
            raise container_refused(err, root) from err
        try:
            self._supported = self._check()
        except BaseException:
            self.close()
            raise

    def __repr__(self) -> str:
        state = "closed" if self._fd is None else _IOMMUS.get(self.iommu or 0, "no IOMMU yet")
        return f"<Container {state} groups={sorted(self._groups)} mappings={len(self._mappings)}>"

    @property
    def fd(self) -> int:
        """The container's file descriptor; DeviceError(EBADF) after `close`."""
        if self._fd is None:
            raise DeviceError(_NODE, "use a closed container", errno.EBADF)
        return self._fd

    def _ioctl(self, name: str, request: int, arg: int | bytearray = 0, hint: str | None = None) -> int:
        try:
            return self.kernel.ioctl(self.fd, request, arg)
        except OSError as err:
            raise DeviceError(_NODE, name, err.errno or errno.EIO, hint=hint) from err

    def _check(self) -> list[int]:
        version = self._ioctl("VFIO_GET_API_VERSION", vfio.VFIO_GET_API_VERSION)
        if version != vfio.VFIO_API_VERSION:
            raise DeviceError(
                _NODE,
                f"VFIO_GET_API_VERSION = {version}",
                errno.EPROTO,
                rule=f"VFIO_API_VERSION is {vfio.VFIO_API_VERSION} (linux/vfio.h)",
            )
        supported = [
            iommu
            for iommu in _IOMMUS
            if self._ioctl("VFIO_CHECK_EXTENSION", vfio.VFIO_CHECK_EXTENSION, iommu) > 0
        ]
        if not supported:
            raise DeviceError(
                _NODE,
                "VFIO_CHECK_EXTENSION(TYPE1v2, TYPE1): neither is there",
                errno.ENODEV,
                hint="`modprobe vfio_iommu_type1`",
            )
        return supported

    def attach(self, number: int) -> Group:
        """Return group *number*, put into this container; each call needs its `detach`.

        On failure the container is as before. Errors are those of :class:`~vfiokit.device.group.Group`.
        """
        fd = self.fd
        group = self._groups.get(number)
        if group is None:
            group = Group(number, kernel=self.kernel, root=self.root)
            try:
                group.set_container(fd)
                if self.iommu is None:
                    self._set_iommu(group)
            except BaseException:
                group.close()
                raise
            self._groups[number] = group
        group.users += 1
        return group

    def _set_iommu(self, group: Group) -> None:
        refused: OSError | None = None
        for iommu in self._supported:
            try:
                self.kernel.ioctl(self.fd, vfio.VFIO_SET_IOMMU, iommu)
            except OSError as err:
                refused = refused or err
                continue
            self.iommu = iommu
            return
        number = (refused.errno if refused else 0) or errno.EIO
        hint = (
            "without interrupt remapping a device could forge interrupts: switch it on in the firmware, or "
            "`echo 1 > /sys/module/vfio_iommu_type1/parameters/allow_unsafe_interrupts`"
            if number == errno.EPERM
            else "`dmesg | tail` may say why"
        )
        raise DeviceError(group.node, "VFIO_SET_IOMMU", number, hint=hint) from refused

    def detach(self, group: Group) -> None:
        """Let a group go; the last user closes it, and the last group takes the mappings along."""
        group.users -= 1
        if group.users > 0 or self._groups.get(group.number) is not group:
            return
        if len(self._groups) == 1:
            self._unmap_everything()
        del self._groups[group.number]
        group.close()
        if not self._groups:
            # The kernel forgets the IOMMU with the last group (linux/vfio.h, VFIO_GROUP_UNSET_CONTAINER).
            self.iommu = None
            self._info = None

    def info(self) -> IommuInfo:
        """Return what the IOMMU says of itself; DeviceError(EINVAL) before a group is in."""
        fd = self.fd
        query = vfio.IommuType1Info()
        try:
            buffer = ask(self.kernel, fd, vfio.VFIO_IOMMU_GET_INFO, query, "VFIO_IOMMU_GET_INFO")
        except OSError as err:
            raise DeviceError(_NODE, "VFIO_IOMMU_GET_INFO", err.errno or errno.EIO) from err
        return parse_iommu_info(buffer)

    def _limits(self) -> IommuInfo:
        if self._info is None:
            self._info = self.info()
        return self._info

    def map_dma(
        self,
        iova: int,
        memory: memoryview,
        *,
        readable: bool = True,
        writable: bool = True,
        device: str = _NODE,
    ) -> None:
        """Let every device of the container reach *memory* at *iova*.

        The same memory at the same place may be mapped by each device of the container: it is mapped
        once, and stays until each has unmapped it. *memory* is held until then.

        :param iova: bytes, a multiple of the IOMMU's page size, as are the memory's address and size
        :param device: on whose behalf, for errors
        :raises MemlockError: the memory to pin is over RLIMIT_MEMLOCK
        """
        size = memory.nbytes
        operation = f"VFIO_IOMMU_MAP_DMA(iova {iova:#x}, {size:#x} bytes)"
        fd = self.fd
        try:
            address = address_of(memory)
        except (TypeError, BufferError, ValueError) as err:
            raise DeviceError(
                device, operation, errno.EFAULT, hint="the memory must be a writable, contiguous buffer"
            ) from err
        flags = (vfio.VFIO_DMA_MAP_FLAG_READ if readable else 0) | (
            vfio.VFIO_DMA_MAP_FLAG_WRITE if writable else 0
        )
        known = self._mappings.get((iova, size))
        same = known is not None and (known.address, known.flags) == (address, flags)
        if known is not None and same and device not in known.users:
            known.users.add(device)
            return
        if self.iommu is None:
            raise DeviceError(
                device, operation, errno.EINVAL, rule="a container needs a group before mappings"
            )
        info = self._limits()
        page = info.page_size
        for what, value in (("iova", iova), ("size", size), ("address", address)):
            if value % page or (what == "size" and not size):
                raise DeviceError(
                    device,
                    f"{operation}: {what} {value:#x}",
                    errno.EINVAL,
                    rule=f"iova, size and address are multiples of {page:#x}, the IOMMU's smallest page",
                    hint="vfiokit.device.dma_memory.allocate() gives memory that fits",
                )
        argument = vfio.DmaMap(argsz=vfio.DmaMap.c_size(), flags=flags, vaddr=address, iova=iova, size=size)
        try:
            self.kernel.ioctl(fd, vfio.VFIO_IOMMU_MAP_DMA, bytearray(bytes(argument)))
        except OSError as err:
            raise map_dma_refused(device, operation, err, size, info.ranges_text, self.root) from err
        self._mappings[iova, size] = _Mapping(memoryview(memory), address, flags, {device})

    def unmap_dma(self, iova: int, size: int, *, device: str = _NODE) -> int:
        """Take away all mappings within [iova, iova + size); return the bytes unmapped.

        With TYPE1v2 a range that cuts a mapping is DeviceError(EINVAL) and nothing is unmapped.
        """
        fd = self.fd
        known = self._mappings.get((iova, size))
        if known is not None and device in known.users and len(known.users) > 1:
            known.users.remove(device)
            return size
        argument = vfio.DmaUnmap(argsz=vfio.DmaUnmap.c_size(), iova=iova, size=size)
        buffer = bytearray(bytes(argument))
        try:
            self.kernel.ioctl(fd, vfio.VFIO_IOMMU_UNMAP_DMA, buffer)
        except OSError as err:
            raise DeviceError(
                device,
                f"VFIO_IOMMU_UNMAP_DMA(iova {iova:#x}, {size:#x} bytes)",
                err.errno or errno.EIO,
                hint="unmap whole mappings, as they were mapped" if err.errno == errno.EINVAL else None,
            ) from err
        for start, length in list(self._mappings):
            if iova <= start and start + length <= iova + size:
                self._forget(start, length)
        return vfio.DmaUnmap.read_from(buffer).size

    def _forget(self, iova: int, size: int) -> None:
        mapping = self._mappings.pop((iova, size), None)
        if mapping is not None:
            mapping.memory.release()  # not left to whoever still looks at an old traceback

    def unmap_all(self, device: str) -> None:
        """Take away what *device* mapped and has not unmapped; what others mapped too stays for them."""
        for (iova, size), mapping in list(self._mappings.items()):
            if device in mapping.users:
                self._unmap_quietly(iova, size, device)

    def _unmap_quietly(self, iova: int, size: int, device: str) -> None:
        try:
            self.unmap_dma(iova, size, device=device)
        except DeviceError:
            # The last group's end takes the mapping anyway; a refusal must not keep anything open.
            self._forget(iova, size)

    def _unmap_everything(self) -> None:
        for (iova, size), mapping in list(self._mappings.items()):
            mapping.users = {_NODE}
            self._unmap_quietly(iova, size, _NODE)

    def close(self) -> None:
        """Close the devices that are open in it, unmap, close the groups, close the container.

        Closing twice is allowed.
        """
        # A device holds its group open in the kernel, so it has to go first. One that made this container
        # closes it too.
        while self.devices:
            self.devices.pop().close()
        if self._fd is None:
            return
        self._unmap_everything()
        for group in self._groups.values():
            group.close()
        self._groups.clear()
        self.iommu = None
        fd, self._fd = self._fd, None
        self.kernel.close(fd)
