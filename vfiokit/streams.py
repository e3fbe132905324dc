"""Where a migration stream goes and comes from: memory, a file, the other end of this process.

A sink's `write` has taken the bytes when it returns. A source's `take` gives exactly the bytes asked
for, or raises StreamCutError, or StarvedError when they may still come.
"""

from __future__ import annotations

import mmap
import os
from collections import deque
from pathlib import Path
from typing import Protocol

from vfiokit.accesses import Buffer
from vfiokit.errors import DeviceError, StreamCutError
from vfiokit.runner import StarvedError

__all__ = ("FileSink", "FileSource", "MemoryStream", "Pipe", "Sink", "Source", "Tee")

_SMALL = 1 << 16  # pieces below this are gathered before they are written


class Sink(Protocol):
    """What `Put` writes to."""

    @property
    def position(self) -> int:
        """Bytes written so far."""
        ...

    def write(self, data: Buffer) -> None:
        """Append *data*; DeviceError with the errno when it cannot be kept."""
        ...


class Source(Protocol):
    """What `Take` reads from."""

    @property
    def position(self) -> int:
        """Bytes taken so far."""
        ...

    def take(self, size: int) -> Buffer:
        """Return the next *size* bytes."""
        ...


def _cut(position: int, size: int, left: int) -> StreamCutError:
    return StreamCutError(
        position,
        f"{size} bytes are due, {left} are left",
        hint="the source stopped half way, or the file was cut",
    )


class MemoryStream:
    """A stream kept in memory; it can be read back from the start."""

    def __init__(self, data: Buffer = b"") -> None:
        self._pieces: list[Buffer] = [data] if len(data) else []
        self.position = len(data)

    def write(self, data: Buffer) -> None:
        """Append a copy of *data*."""
        self._pieces.append(bytes(data))
        self.position += len(data)

    def getvalue(self) -> bytes:
        """Return the whole stream."""
        return b"".join(self._pieces)

    def reader(self) -> BufferSource:
        """Return a source that reads the whole stream."""
        return BufferSource(self.getvalue())


class BufferSource:
    """A source over bytes at hand."""

    def __init__(self, data: Buffer) -> None:
        self._view = memoryview(data)
        self.position = 0

    def take(self, size: int) -> memoryview:
        """Return a window of *size* bytes."""
        end = self.position + size
        if end > len(self._view):
            raise _cut(self.position, size, len(self._view) - self.position)
        data = self._view[self.position : end]
        self.position = end
        return data


class FileSink:
    """A stream into a file: large pieces are written from where they are, small ones gathered."""

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self.position = 0
        self._small = bytearray()
        try:
            self._fd = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise DeviceError(str(path), "open for writing", error.errno or 0) from error

    def write(self, data: Buffer) -> None:
        """Append *data*."""
        self.position += len(data)
        if len(data) < _SMALL:
            self._small += data
            if len(self._small) >= _SMALL:
                self.flush()
            return
        self._write(data)

    def flush(self) -> None:
        """Hand everything to the kernel."""
        self._write(b"")

    def _write(self, data: Buffer) -> None:
        small, self._small = self._small, bytearray()
        pieces = [memoryview(piece) for piece in (small, data) if len(piece)]
        try:
            while pieces:
                written = os.writev(self._fd, pieces)
                while pieces and written >= len(pieces[0]):
                    written -= len(pieces.pop(0))
                if pieces:
                    pieces[0] = pieces[0][written:]
        except OSError as error:
            raise DeviceError(str(self.path), "write", error.errno or 0, hint="is the disk full?") from error

    def close(self) -> None:
        """Flush and close; twice is allowed."""
        if self._fd >= 0:
            try:
                self.flush()
            finally:
                os.close(self._fd)
                self._fd = -1


class FileSource:
    """A stream from a file, mapped: nothing is copied before it is used."""

    def __init__(self, path: Path | str) -> None:
        try:
            with open(path, "rb") as file:
                size = os.fstat(file.fileno()).st_size
                self._map = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) if size else None
        except OSError as error:
            raise DeviceError(str(path), "open for reading", error.errno or 0) from error
        except ValueError as error:
            raise DeviceError(str(path), f"map: {error}", 22, hint="give a regular file") from error
        self._source = BufferSource(memoryview(self._map or b""))
        self.size = size

    @property
    def position(self) -> int:
        """Bytes taken so far."""
        return self._source.position

    def take(self, size: int) -> memoryview:
        """Return a window of *size* bytes."""
        return self._source.take(size)


class Pipe:
    """Sink and source in one: the way from source to destination within a process."""

    def __init__(self) -> None:
        self._pieces: deque[memoryview] = deque()
        self.position = 0
        self.taken = 0
        self.closed = False

    @property
    def backlog(self) -> int:
        """Bytes put and not yet taken."""
        return self.position - self.taken

    def write(self, data: Buffer) -> None:
        """Append a copy of *data*."""
        if len(data):
            self._pieces.append(memoryview(bytes(data)))
            self.position += len(data)

    def close(self) -> None:
        """Nothing more will be put."""
        self.closed = True

    def take(self, size: int) -> Buffer:
        """Return the next *size* bytes; StarvedError while the other end may still put them."""
        if self.backlog < size:
            if self.closed:
                raise _cut(self.taken, size, self.backlog)
            raise StarvedError
        self.taken += size
        if not size:
            return b""
        first = self._pieces[0]
        if len(first) > size:
            self._pieces[0] = first[size:]
            return first[:size]
        if len(first) == size:
            return self._pieces.popleft()
        parts: list[memoryview] = []
        while size:
            piece = self._pieces.popleft()
            if len(piece) > size:
                self._pieces.appendleft(piece[size:])
                piece = piece[:size]
            parts.append(piece)
            size -= len(piece)
        return b"".join(parts)


class Tee:
    """A sink that writes to several."""

    def __init__(self, *sinks: Sink) -> None:
        self._sinks = sinks
        self.position = 0

    def write(self, data: Buffer) -> None:
        """Append *data* to each."""
        for sink in self._sinks:
            sink.write(data)
        self.position += len(data)
