"""Taking things from a migration stream, with the position kept for the errors."""

from __future__ import annotations

from typing import cast

from vfiokit.accesses import Buffer, Flow, Put, Take
from vfiokit.errors import StreamError

__all__ = ("Cursor", "be16", "be32", "be64")


def be16(value: int, what: str) -> Put:
    """Return the access that puts a 16-bit big-endian number."""
    return Put(value.to_bytes(2, "big"), what)


def be32(value: int, what: str) -> Put:
    """Return the access that puts a 32-bit big-endian number."""
    return Put(value.to_bytes(4, "big"), what)


def be64(value: int, what: str) -> Put:
    """Return the access that puts a 64-bit big-endian number."""
    return Put(value.to_bytes(8, "big"), what)


class Cursor:
    """Where a loader is in its stream, bytes from the start."""

    __slots__ = ("last", "position")

    def __init__(self, position: int = 0) -> None:
        self.position = position
        self.last = position

    def take(self, size: int, what: str) -> Flow[Buffer]:
        """Take *size* bytes; StreamCutError comes from whoever performs it."""
        data = yield Take(size, what)
        self.last = self.position
        self.position += size
        return cast("Buffer", data)

    def number(self, width: int, what: str) -> Flow[int]:
        """Take a big-endian number of *width* bytes."""
        return int.from_bytes((yield from self.take(width, what)), "big")

    def wrong(self, message: str, *, rule: str | None = None) -> StreamError:
        """Return the error for the item taken last."""
        return StreamError(self.last, message, rule=rule)
