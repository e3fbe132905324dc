"""The guest's first file system: a ``newc`` cpio archive, written here.

The kernel unpacks it into its root and starts ``/init`` ("initramfs buffer format"
in the kernel's documentation). An entry is a header of 110 ASCII characters, a
name with its NUL, and the data; name and data are each padded so that the next item
starts at a multiple of 4. The archive ends with an entry named ``TRAILER!!!``.
Nothing is compressed: unpacking on an emulated CPU costs more than copying.
"""

from __future__ import annotations

import stat
from collections.abc import Iterable
from pathlib import PurePosixPath

from vfiokit.errors import LabError

__all__ = ("Archive",)

MAGIC = "070701"
# The fields after the magic, 8 hex digits each, in order.
FIELDS = (
    *("ino", "mode", "uid", "gid", "nlink", "mtime", "filesize"),
    *("devmajor", "devminor", "rdevmajor", "rdevminor", "namesize", "check"),
)
TRAILER = "TRAILER!!!"


class Archive:
    """A cpio archive in the making. Folders on the way to an entry come by themselves.

    >>> archive = Archive()
    >>> archive.file("lab/order", b"vfio.ko")
    >>> archive.names
    ['lab', 'lab/order']
    """

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._names: dict[str, int] = {}

    @property
    def names(self) -> list[str]:
        """What is inside, in order."""
        return list(self._names)

    def folders(self, names: Iterable[str]) -> None:
        """Add empty folders."""
        for name in names:
            self._folder(PurePosixPath(name))

    def file(self, name: str, data: bytes, *, executable: bool = False) -> None:
        """Add a file.

        :param name: path without a leading slash
        :raises LabError: the archive has it already, or the path leads out of the root
        """
        self._entry(name, stat.S_IFREG | (0o755 if executable else 0o644), data)

    def link(self, name: str, target: str) -> None:
        """Add a symbolic link to *target*."""
        self._entry(name, stat.S_IFLNK | 0o777, target.encode())

    def finish(self) -> bytes:
        """Return the whole archive, with its trailer."""
        return b"".join([*self._parts, _record(TRAILER, 0, 0, b"")])

    def _folder(self, path: PurePosixPath) -> None:
        for folder in [*reversed(path.parents), path]:
            if folder.name and str(folder) not in self._names:
                self._append(str(folder), stat.S_IFDIR | 0o755, b"")
            elif folder.name and not stat.S_ISDIR(self._names[str(folder)]):
                raise LabError(f"initrd: {folder} is a file and cannot be a folder too")

    def _entry(self, name: str, mode: int, data: bytes) -> None:
        path = PurePosixPath(name)
        if path.is_absolute() or not path.parts or ".." in path.parts or str(path) == TRAILER:
            raise LabError(
                f"initrd: {name!r} cannot be an entry's name", rule="a path below the root, without '..'"
            )
        if str(path) in self._names:
            raise LabError(f"initrd: {name} is in the archive already")
        self._folder(path.parent)
        self._append(str(path), mode, data)

    def _append(self, name: str, mode: int, data: bytes) -> None:
        self._names[name] = mode
        self._parts.append(_record(name, len(self._names), mode, data))


def _record(name: str, inode: int, mode: int, data: bytes) -> bytes:
    encoded = name.encode() + b"\0"
    values = dict.fromkeys(FIELDS, 0) | {
        "ino": inode,
        "mode": mode,
        "nlink": 1,
        "filesize": len(data),
        "namesize": len(encoded),
    }
    header = (MAGIC + "".join(f"{values[field]:08x}" for field in FIELDS)).encode()
    return _padded(header + encoded) + _padded(data)


def _padded(data: bytes) -> bytes:
    return data + b"\0" * (-len(data) % 4)
