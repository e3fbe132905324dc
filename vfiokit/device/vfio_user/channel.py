"""Messages over a stream: a socket, which can pass file descriptors, or a character device.

An interrupt (Ctrl-C) may fall into the middle of a message. What has come and what is still to go is
kept, so that the next message finds the stream where it belongs. End of stream is an EOFError.
"""

from __future__ import annotations

import os
import socket
from array import array
from dataclasses import dataclass

from vfiokit.device.vfio_user.wire import Header, check_header
from vfiokit.errors import DeviceError

__all__ = ("Channel", "FileChannel", "Message", "SocketChannel")

Buffer = bytes | bytearray | memoryview

_MAX_FDS = 16
_SMALL = 64 << 10  # below it parts are joined: one system call costs more than the copy


@dataclass(slots=True)
class Message:
    """One message that came; its file descriptors are the receiver's to close."""

    header: Header
    payload: memoryview
    fds: list[int]

    def close_fds(self) -> None:
        """Close the file descriptors that nobody took out of ``fds``."""
        while self.fds:
            os.close(self.fds.pop())


class Channel:
    """A stream of messages; subclasses say how bytes move."""

    passes_fds = False

    def __init__(self) -> None:
        self._in = bytearray()
        self._have = 0
        self._fds: list[int] = []
        self._out: list[memoryview] = []

    def _read_into(self, buffer: memoryview) -> int:
        raise NotImplementedError

    def _write(self, buffer: memoryview, fds: list[int]) -> int:
        raise NotImplementedError

    def send(self, header: Header, *parts: Buffer, fds: tuple[int, ...] = ()) -> None:
        """Send a message; its size is filled in. OSError when the stream is gone."""
        self._flush()  # the rest of one that was interrupted
        header.size = Header.c_size() + sum(len(part) for part in parts)
        if header.size <= _SMALL:
            self._out = [memoryview(b"".join((bytes(header), *parts)))]
        else:
            self._out = [memoryview(bytes(header)), *(memoryview(part).cast("B") for part in parts)]
        self._flush(list(fds))

    def _flush(self, fds: list[int] | None = None) -> None:
        while self._out:
            moved = self._write(self._out[0], fds or [])
            fds = None
            rest = self._out[0][moved:]
            self._out[:1] = [rest] if len(rest) else []

    def _fill(self, size: int) -> None:
        if len(self._in) < size:
            self._in.extend(bytes(size - len(self._in)))
        with memoryview(self._in) as view:
            while self._have < size:
                moved = self._read_into(view[self._have : size])
                if not moved:
                    raise EOFError(f"the stream ended {self._have} bytes into a message")
                self._have += moved

    def receive(self, limit: int, peer: str) -> Message:
        """Return the next message.

        :param limit: bytes of data that it may carry
        :param peer: who sends it, for errors
        :raises MessageError: no message can begin like this; the stream is of no use any more
        :raises EOFError: there is none
        """
        self._fill(Header.c_size())
        header = Header.read_from(self._in)
        check_header(header, limit, peer)
        self._fill(header.size)
        return self._pop(header)

    def _pop(self, header: Header) -> Message:
        whole, self._in, self._have = self._in, bytearray(), 0
        fds, self._fds = self._fds, []
        return Message(header, memoryview(whole)[Header.c_size() :], fds)

    def receive_after_noise(self, number: int, command: int, peer: str) -> Message:
        """Return the reply with this id and command; bytes before it, of any kind, are passed over.

        Over a serial port the rest of what the last one asked for may come first.
        """
        head = bytes(Header(id=number, command=command))[:4]
        size = Header.c_size()
        while True:
            self._fill(size)
            at = self._in.find(head, 0, self._have)
            if at > 0 or at < 0:
                # All but what may be the beginning of it.
                noise = at if at > 0 else self._have - len(head) + 1
                del self._in[:noise]
                self._have -= noise
                continue
            header = Header.read_from(self._in)
            try:
                check_header(header, 0, peer)
            except DeviceError:
                del self._in[:1]
                self._have -= 1
                continue
            self._fill(header.size)
            return self._pop(header)

    def close(self) -> None:
        """Close the stream, and what descriptors came and were not asked for."""
        while self._fds:
            os.close(self._fds.pop())


class SocketChannel(Channel):
    """Over a connected stream socket, which it owns.

    :param passes_fds: the other end of the socket is the peer itself, so that descriptors reach it
    """

    def __init__(self, sock: socket.socket, *, passes_fds: bool = True) -> None:
        super().__init__()
        self._socket = sock
        self.passes_fds = passes_fds

    def _read_into(self, buffer: memoryview) -> int:
        if not self.passes_fds:
            return self._socket.recv_into(buffer)
        space = socket.CMSG_SPACE(_MAX_FDS * 4)
        count, ancillary, _, _ = self._socket.recvmsg_into([buffer], space, socket.MSG_CMSG_CLOEXEC)
        for level, kind, data in ancillary:
            if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                found = array("i")
                found.frombytes(data[: len(data) - len(data) % found.itemsize])
                self._fds += found
        return count

    def _write(self, buffer: memoryview, fds: list[int]) -> int:
        if fds:
            return socket.send_fds(self._socket, [buffer], fds)
        return self._socket.send(buffer)

    def close(self) -> None:
        """Close the socket."""
        super().close()
        self._socket.close()


class FileChannel(Channel):
    """Over a file descriptor, such as a virtio-serial port; it stays its owner's."""

    def __init__(self, fd: int) -> None:
        super().__init__()
        self._fd = fd

    def _read_into(self, buffer: memoryview) -> int:
        return os.readv(self._fd, [buffer])

    def _write(self, buffer: memoryview, fds: list[int]) -> int:  # noqa: ARG002
        return os.write(self._fd, buffer)
