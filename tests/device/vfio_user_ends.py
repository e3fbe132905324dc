"""Both ends of a vfio-user connection, for tests: a served device and its client, and channels of bytes."""

import socket
import struct
import threading
from contextlib import contextmanager

from vfiokit.device.vfio_user.channel import Channel, SocketChannel
from vfiokit.device.vfio_user.client import VfioUserDevice
from vfiokit.device.vfio_user.server import serve
from vfiokit.device.vfio_user.shared_memory import PassedMemory


class BytesChannel(Channel):
    """Reads what it was given and keeps what is sent."""

    def __init__(self, data):
        super().__init__()
        self.data = memoryview(data)
        self.sent = bytearray()

    def _read_into(self, buffer):
        part, self.data = self.data[: len(buffer)], self.data[len(buffer) :]
        buffer[: len(part)] = part
        return len(part)

    def _write(self, buffer, fds):
        self.sent += buffer
        return len(buffer)


def message(command, payload=b"", *, number=7, flags=0, size=None, error=0):
    """One message, as the spec lays it out."""
    return struct.pack("=HHIII", number, command, size or 16 + len(payload), flags, error) + payload


def messages(data):
    """Take a run of messages apart: ``(number, command, flags, error, payload)`` each."""
    found = []
    while data:
        number, command, size, flags, error = struct.unpack_from("=HHIII", data)
        found.append((number, command, flags, error, bytes(data[16:size])))
        data = data[size:]
    return found


HELLO = message(1, struct.pack("=HH", 0, 2) + b'{"capabilities": {}}\0')


@contextmanager
def served(device, *, window=None, source=None, **more):
    """Serve *device* in a thread; give the client."""
    here, there = socket.socketpair()
    source = source or PassedMemory()
    channel = SocketChannel(there, passes_fds=source.passes_fds)
    thread = threading.Thread(target=serve, args=(device, channel), kwargs={"window": window})
    thread.start()
    client = None
    try:
        client = VfioUserDevice(here, name="far", memory=source, timeout=20, **more)
        yield client
    finally:
        if client is not None:
            client.close()
        thread.join(20)
        channel.close()
        assert not thread.is_alive()


@contextmanager
def answered(*answers):
    """A client whose server gives these answers, one a request; a callable is given the request's id.

    An answer of bytes is the payload of a proper reply; None closes the connection.
    """
    here, there = socket.socketpair()

    def answer():
        for what in (HELLO[16:], *answers):
            head = there.recv(16, socket.MSG_WAITALL)
            if len(head) < 16:
                return
            number, command, size, _, _ = struct.unpack("=HHIII", head)
            there.recv(size - 16, socket.MSG_WAITALL)
            if what is None:
                break
            reply = what(number) if callable(what) else message(command, what, number=number, flags=1)
            there.sendall(reply)
        there.shutdown(socket.SHUT_WR)

    thread = threading.Thread(target=answer)
    thread.start()
    client = None
    try:
        client = VfioUserDevice(here, name="far", memory=PassedMemory(), timeout=20)
        yield client
    finally:
        if client is not None:
            client.close()
        thread.join(20)
        there.close()
