"""The client's end of a vfio-user connection: questions and their answers, one at a time."""

from __future__ import annotations

import errno
import random
import threading
from collections.abc import Callable

from vfiokit.device.base import ClosesOnExit
from vfiokit.device.vfio_user import wire
from vfiokit.device.vfio_user.channel import Buffer, Channel, Message
from vfiokit.device.vfio_user.wire import Capabilities, Command, Header, MessageError
from vfiokit.errors import DeviceError

__all__ = ("Connection", "Reply")


class Reply(ClosesOnExit):
    """A reply that was no refusal; closing it closes the descriptors that nobody took."""

    def __init__(self, message: Message) -> None:
        self.message = message
        self.payload = message.payload

    def close(self) -> None:
        """Close what descriptors are left."""
        self.message.close_fds()


class Connection:
    """A connection; ``broken`` says in words why nothing more can be asked, or is None.

    Threads take turns. An interrupted question leaves its answer in the stream; it is passed over.

    :param channel: it is the connection's from now on
    :param name: the device's, for errors
    :param lost: makes the error for an operation when the server is gone
    """

    def __init__(self, channel: Channel, name: str, lost: Callable[[str], DeviceError] | None = None) -> None:
        self.name = name
        self.broken: str | None = None
        self.limit = wire.MAX_DATA  # bytes of data that may go in one message, either way
        self._channel = channel
        self._lost = lost
        self._turn = threading.RLock()
        self._id = random.randrange(1 << 16)

    def open(self) -> None:
        """Say VERSION, by which a server begins a session; closes the connection when that fails."""
        try:
            self._negotiate()
        except BaseException:
            self.close()
            raise

    def _negotiate(self) -> None:
        request = wire.pack_version(wire.MINOR, Capabilities(max_msg_fds=8))
        with self.request(Command.VERSION, (request,), first=True) as reply:
            version, theirs = wire.parse_version(reply.payload, self.name)
        if version.major != wire.MAJOR or version.minor > wire.MINOR:
            raise MessageError(
                self.name,
                f"version {version.major}.{version.minor}",
                rule=f"{wire.MAJOR}.{wire.MINOR} was proposed: the major is answered, a minor up to it",
            )
        self.limit = min(theirs.max_data_xfer_size, wire.MAX_DATA)

    def request(
        self, command: Command, parts: tuple[Buffer, ...], fds: tuple[int, ...] = (), *, first: bool = False
    ) -> Reply:
        """Send a command and return its reply; a refusal is raised as a DeviceError.

        :param first: bytes that are no reply to it may come before its reply
        """
        operation = command.name
        with self._turn:
            if self.broken is not None:
                raise self._broken(operation, errno.EBADF if self.broken == "was closed" else errno.ENODEV)
            self._id = (self._id + 1) % (1 << 16)
            number = self._id
            try:
                self._channel.send(Header(id=number, command=command), *parts, fds=fds)
                if first:
                    message = self._channel.receive_after_noise(number, command, self.name)
                else:
                    message = self._await(number)
            except MessageError:
                self.broken = "broke the protocol"
                raise
            except TimeoutError as error:
                self.broken = "does not answer"
                raise self._broken(operation, errno.ETIMEDOUT) from error
            except (EOFError, OSError) as error:
                self.broken = "is gone"
                raise self._broken(operation, errno.ENODEV) from error
        header = message.header
        if header.command != command:
            message.close_fds()
            raise MessageError(
                self.name,
                f"a reply to {Command.text(header.command)}",
                rule=f"{operation} was asked for, and a reply repeats id and command",
            )
        if header.flags & wire.FLAG_ERROR:
            message.close_fds()
            raise DeviceError(self.name, operation, header.error or errno.EIO)
        return Reply(message)

    def _await(self, number: int) -> Message:
        while True:
            message = self._channel.receive(wire.MAX_DATA, self.name)
            header = message.header
            if header.flags & wire.TYPE_MASK == wire.TYPE_REPLY and header.id == number:
                return message
            message.close_fds()
            if header.flags & wire.TYPE_MASK == wire.TYPE_COMMAND:
                # DMA_READ and DMA_WRITE: for servers that cannot map memory. Ours is always mapped.
                flags = wire.TYPE_REPLY | wire.FLAG_ERROR
                refusal = Header(id=header.id, command=header.command, flags=flags, error=errno.ENOTSUP)
                self._channel.send(refusal)
            # Else it is the answer to a question whose asker was interrupted.

    def _broken(self, operation: str, number: int) -> DeviceError:
        if self.broken == "is gone" and self._lost is not None:
            return self._lost(operation)
        hint = "open the device again"
        if self.broken == "does not answer":
            hint = "the server may be stopped or busy; closing and opening begins a new session"
        return DeviceError(self.name, f"{operation}: the connection {self.broken}", number, hint=hint)

    def close(self) -> None:
        """Close the stream. Twice is allowed."""
        self.broken = "was closed"
        self._channel.close()
