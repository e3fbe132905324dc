"""Client against server over a socket, and each against an end that does not behave."""

import errno
import os
import socket
import struct
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from vfio_user_ends import HELLO, BytesChannel, answered, message, messages, served

from vfiokit.accesses import Read
from vfiokit.clock import RealClock
from vfiokit.device.dma_memory import allocate
from vfiokit.device.vfio_user.server import serve
from vfiokit.device.vfio_user.shared_memory import PassedMemory, WindowMemory, locate
from vfiokit.device.vfio_user.wire import MAX_DATA, MessageError
from vfiokit.device.wrapped import WrappedDevice
from vfiokit.emulated import open_emulated
from vfiokit.emulated.program import read_register, write_register
from vfiokit.errors import AccessError, DeviceError, RuleError, VfioError
from vfiokit.host import Host
from vfiokit.side import Side
from vfiokit.uapi import vfio
from vfiokit.uapi.info import Area, Region

PAGE = 4096


@pytest.fixture
def near():
    with open_emulated("emulated:v5?state=4M&name=near") as device:
        yield device


def test_the_device_says_the_same_from_afar(near):
    with served(near) as far:
        assert far.info() == near.info()
        assert [far.region(index) for index in range(10)] == [near.region(index) for index in range(10)]
        assert [far.irq(index) for index in range(5)] == [near.irq(index) for index in range(5)]
        assert far.pread(7, 0, 256) == near.pread(7, 0, 256)
        write_register(far, "SCRATCH", 0x1234)
        assert read_register(near, "SCRATCH") == 0x1234
        far.reset()
        assert read_register(near, "SCRATCH") == 0


def test_refusals_come_with_their_errno_and_the_caller_s_words(near):
    with served(near) as far:
        for refused, words in (
            (lambda: far.region(99), "DEVICE_GET_REGION_INFO(99)"),
            (lambda: far.irq(99), "DEVICE_GET_IRQ_INFO(99)"),
            (lambda: far.pread(0, 0, 3), "pread(region 0, 0x0, 3)"),
            (lambda: far.pwrite(9, 0, b"\x06\0\0\0"), "pwrite(region 9, 0x0, 4)"),
            (lambda: far.pread(0, -1, 4), "pread"),
        ):
            with pytest.raises(DeviceError) as caught:
                refused()
            assert caught.value.errno == errno.EINVAL
            assert words in str(caught.value)
        with pytest.raises(DeviceError, match="use pread and pwrite"):
            far.mmap(2, 0x2000, PAGE)


class Big(WrappedDevice):
    """One region of 3 MiB, writable, that gives at most *most* bytes in an access."""

    most = 1 << 30

    def __init__(self, device, fd=None):
        super().__init__(device)
        self.memory = bytearray(os.urandom(3 * MAX_DATA))
        self.sizes = []

    def pread(self, region, offset, size):
        self.sizes.append(size)
        return bytes(self.memory[offset : offset + min(size, self.most)])

    def pwrite(self, region, offset, data):
        data = bytes(data[: self.most])
        self.memory[offset : offset + len(data)] = data
        return len(data)


def test_large_data_goes_in_several_messages(near):
    big = Big(near)
    with served(big) as far:
        size = 2 * MAX_DATA + 5
        assert far.pread(0, 3, size) == big.memory[3 : 3 + size]
        assert big.sizes == [MAX_DATA, MAX_DATA, 5]
        data = os.urandom(size)
        assert far.pwrite(0, 1, data) == size
        assert big.memory[1 : 1 + size] == data
        big.most = 1000
        assert len(far.pread(0, 0, size)) == far.pwrite(0, 0, data) == 1000


def test_dma_lands_in_memory_that_is_passed(near):
    with served(near) as far, far.dma_memory(16 * PAGE) as memory:
        far.map_dma(0x10000, memory.view)
        with pytest.raises(DeviceError) as caught:
            far.map_dma(0x10000, memory.view)
        assert caught.value.errno == errno.EEXIST
        write_register(far, "WINDOW_IOVA", 0x10000)
        write_register(far, "WINDOW_PAGES", 16)
        write_register(far, "DOORBELL", 20)
        assert [struct.unpack_from("<Q", memory.view, PAGE * page)[0] for page in (3, 4, 15)] == [19, 4, 15]
        with pytest.raises(DeviceError) as caught:
            far.unmap_dma(0x10000, PAGE)
        assert caught.value.errno == errno.EINVAL
        assert far.unmap_dma(0, 1 << 20) == 16 * PAGE
        assert far.unmap_dma(0, 1 << 20) == 0
        assert near.dma.mappings == ()


def test_memory_that_the_server_cannot_reach_is_refused(near, tmp_path):
    with served(near) as far, allocate(PAGE) as own:
        with pytest.raises(DeviceError, match="dma_memory"):
            far.map_dma(0, own.view)
        with pytest.raises(DeviceError, match="dma_memory"):
            far.map_dma(0, memoryview(bytes(PAGE)))


def test_a_side_takes_its_memory_from_the_device(near):
    with served(near) as far, Side([far], memory=64 * PAGE, clock=RealClock()) as side:
        view = side.memory.view("pc.ram")
        assert locate(view) is not None
        assert near.dma.mappings[0].size == 64 * PAGE


def test_memory_in_a_window_that_both_have(near, tmp_path):
    path = tmp_path / "shared"
    path.write_bytes(b"\xff" * 64 * PAGE)
    window = WindowMemory(path)
    with open(path, "r+b") as file, window.allocate(60 * PAGE) as other:
        import mmap

        mapped = mmap.mmap(file.fileno(), 64 * PAGE)
        with (
            memoryview(mapped) as view,
            served(near, window=view, source=window) as far,
            far.dma_memory(PAGE) as memory,
        ):
            assert memory.offset == other.offset + other.size
            assert bytes(memory.view) == bytes(PAGE)  # not what the last one left
            far.map_dma(0, memory.view)
            write_register(far, "WINDOW_PAGES", 1)
            write_register(far, "DOORBELL", 3)
            assert struct.unpack_from("<Q", memory.view)[0] == 2
            with PassedMemory().allocate(PAGE) as foreign, pytest.raises(DeviceError, match="shared"):
                far.map_dma(0x1000000, foreign.view)
            far.unmap_dma(0, PAGE)
        mapped.close()


def test_parts_of_a_window_exclude_each_other_and_come_back(tmp_path):
    path = tmp_path / "shared"
    path.write_bytes(bytes(8 * PAGE))
    window = WindowMemory(path)
    first, second = window.allocate(3 * PAGE), window.allocate(PAGE + 1)
    assert (first.offset, second.offset, second.size) == (0, 3 * PAGE, 2 * PAGE)
    with pytest.raises(DeviceError) as caught:
        window.allocate(4 * PAGE)
    assert caught.value.errno == errno.ENOMEM
    first.close()
    with window.allocate(2 * PAGE) as again:
        assert again.offset == 0
    second.close()
    with pytest.raises(DeviceError):
        window.allocate(0)
    with pytest.raises(DeviceError):
        WindowMemory(tmp_path / "none").allocate(1)


class WithDescriptor(Big):
    """Region 0 is a file whose descriptor the server may pass."""

    def __init__(self, device):
        super().__init__(device)
        self.fd = os.memfd_create("region")
        os.truncate(self.fd, 3 * PAGE)

    def region(self, index):
        return Region(index, 7, PAGE, PAGE, sparse=(Area(0, PAGE),))

    def region_fd(self, index):
        return self.fd


def test_a_region_is_mapped_by_the_descriptor_that_is_passed(near):
    device = WithDescriptor(near)
    os.pwrite(device.fd, b"here", PAGE)
    with served(device) as far:
        view = far.mmap(0, 0, PAGE)
        assert view[:4] == b"here"
        view[:4] = b"back"
        assert os.pread(device.fd, 4, PAGE) == b"back"
        with pytest.raises(DeviceError) as caught:
            far.munmap(0, 0)
        assert caught.value.errno == errno.EBUSY
        view.release()
        far.munmap(0, 0)
        with pytest.raises(DeviceError, match="nothing is mapped"):
            far.munmap(0, 0)
    os.close(device.fd)


class Opener:
    """Opens a fresh device each time; the first may be refused."""

    def __init__(self, refusals=()):
        self.refusals = list(refusals)
        self.opened = []

    def __call__(self):
        if self.refusals:
            raise self.refusals.pop()
        self.opened.append(open_emulated("emulated:v5?state=64K"))
        return self.opened[-1]


def test_a_new_version_begins_a_new_session_with_a_fresh_device():
    opener = Opener()
    access = struct.pack("=QII", 0x10, 0, 4)  # SCRATCH
    channel = BytesChannel(
        HELLO + message(10, access + b"\1\2\3\4") + message(9, access) + HELLO + message(9, access)
    )
    serve(opener, channel)
    answers = messages(bytes(channel.sent))
    assert [answer[4][16:] for answer in answers if answer[1] == 9] == [b"\1\2\3\4", bytes(4)]
    assert len(opener.opened) == 2
    for device in opener.opened:
        with pytest.raises(DeviceError, match="closed"):
            device.info()


def test_nothing_is_answered_before_the_version_or_after_a_refused_one():
    refusal = DeviceError("near", "open", errno.EBUSY)
    channel = BytesChannel(message(4, bytes(16)) + HELLO + message(4, struct.pack("=IIII", 16, 0, 0, 0)))
    serve(Opener([refusal]), channel)
    assert [answer[3] for answer in messages(bytes(channel.sent))] == [
        errno.EINVAL,
        errno.EBUSY,
        errno.EINVAL,
    ]


@pytest.mark.parametrize(("offset", "size"), [(PAGE, 2 * PAGE), (2**64 - PAGE, 2 * PAGE), (0, 0)])
@pytest.mark.parametrize("pages", [None, 2])
def test_dma_past_the_end_of_what_both_have(near, offset, size, pages):
    window = memoryview(bytearray(pages * PAGE)) if pages else None
    channel = BytesChannel(HELLO + message(2, struct.pack("=IIQQQ", 32, 3, offset, 0, size)))
    serve(near, channel, window=window)
    assert messages(bytes(channel.sent))[1][3] == errno.EINVAL


def test_dma_past_the_end_of_a_file_that_is_passed(near):
    with served(near) as far, far.dma_memory(2 * PAGE) as memory:
        os.truncate(memory.fd, PAGE)
        with pytest.raises(DeviceError) as caught:
            far.map_dma(0, memory.view)
        assert caught.value.errno == errno.EINVAL
        assert near.dma.mappings == ()


def test_no_reply_is_none(near):
    channel = BytesChannel(HELLO + message(13, flags=0x10) + message(13))
    serve(near, channel)
    assert [answer[1] for answer in messages(bytes(channel.sent))] == [1, 13]


def test_major_1_is_refused(near):
    channel = BytesChannel(message(1, struct.pack("=HH", 1, 0)))
    serve(near, channel)
    assert messages(bytes(channel.sent))[0][3] == errno.EINVAL


def test_a_client_that_goes_leaves_no_mapping(near):
    with served(near) as far:
        memory = far.dma_memory(PAGE)
        far.map_dma(0, memory.view)
        assert near.dma.mappings
    assert near.dma.mappings == ()
    memory.close()


def test_what_a_closed_or_lost_connection_says(near):
    with served(near) as far:
        far.close()
        far.close()
        with pytest.raises(DeviceError) as caught:
            far.info()
        assert caught.value.errno == errno.EBADF
    with answered(None) as far:
        for _ in range(2):
            with pytest.raises(DeviceError) as caught:
                far.info()
            assert caught.value.errno == errno.ENODEV
        with pytest.raises(AccessError):
            Host([far], clock=RealClock()).perform(Read("far", 9, 0, 4, "device_state"))


def test_who_knows_why_the_server_is_gone_says_it(near):
    class LostError(DeviceError):
        pass

    here, there = socket.socketpair()
    from vfiokit.device.vfio_user.client import VfioUserDevice

    there.close()
    with pytest.raises(LostError):
        VfioUserDevice(here, name="far", lost=lambda operation: LostError("far", operation, errno.ENODEV))


def test_an_answer_that_does_not_come_is_a_timeout(near):
    from vfiokit.device.vfio_user.client import VfioUserDevice

    here, there = socket.socketpair()
    with there, pytest.raises(DeviceError) as caught:
        VfioUserDevice(here, name="far", timeout=0.05)
    assert caught.value.errno == errno.ETIMEDOUT


def test_the_answer_to_an_interrupted_question_is_passed_over(near, monkeypatch):
    with served(near) as far:
        channel = far._connection._channel
        read = channel._read_into

        def interrupted(buffer):
            monkeypatch.undo()
            read(buffer[:5])
            channel._have += 5  # as if it came and was counted before the interrupt
            raise KeyboardInterrupt

        # Of the client's channel alone: the server reads in a thread of its own.
        monkeypatch.setattr(channel, "_read_into", interrupted)
        with pytest.raises(KeyboardInterrupt):
            far.pread(7, 0, 256)
        assert far.pread(7, 0, 4) == near.pread(7, 0, 4)


@pytest.mark.parametrize(
    "reply",
    [
        lambda number: message(4, bytes(8), number=number, flags=1),
        lambda number: message(5, bytes(16), number=number, flags=1),
        lambda number: message(4, number=number, flags=1, size=15),
        lambda number: message(4, number=number, flags=1, size=2**31),
        lambda number: message(4, bytes(16), number=number, flags=3),
    ],
    ids=["short", "other command", "size 15", "size 2 GiB", "type 3"],
)
def test_answers_that_cannot_be(reply):
    with answered(reply) as far, pytest.raises(MessageError):
        far.info()


def test_a_server_s_own_command_is_refused_and_the_answer_awaited():
    info = struct.pack("=IIII", 16, 3, 10, 5)

    def reply(number):
        asked = message(11, struct.pack("=QQ", 0, 8), number=number)  # DMA_READ, with the same id
        return asked + message(4, info, number=number, flags=1)

    with answered(reply) as far:
        assert far.info().num_regions == 10


@pytest.mark.parametrize("payload", [b"", struct.pack("=HH", 1, 0), struct.pack("=HH", 0, 9)])
def test_versions_that_cannot_be(payload):
    from vfiokit.device.vfio_user.client import VfioUserDevice

    here, there = socket.socketpair()
    with there:
        import threading

        def answer():
            number = struct.unpack("=H", there.recv(4096)[:2])[0]
            there.sendall(message(1, payload, number=number, flags=1))

        thread = threading.Thread(target=answer)
        thread.start()
        with pytest.raises(MessageError):
            VfioUserDevice(here, name="far", timeout=20)
        thread.join()


ASK = {
    "info": lambda device: device.info(),
    "region": lambda device: device.region(9),
    "irq": lambda device: device.irq(1),
    "pread": lambda device: device.pread(0, 0, 4),
    "pwrite": lambda device: device.pwrite(0, 0, b"1234"),
    "reset": lambda device: device.reset(),
}


@settings(max_examples=60)
@given(
    st.sampled_from(sorted(ASK)),
    st.binary(max_size=80)
    | st.builds(lambda a, b: struct.pack("=QII", 0, 0, a) + b, st.integers(0, 8), st.binary(max_size=8))
    | st.builds(
        lambda argsz, flags, cap, rest: struct.pack("=IIIIQQ", argsz, flags, 9, cap, 4096, 0) + rest,
        st.integers(0, 80),
        st.integers(0, 15),
        st.integers(0, 80),
        st.binary(max_size=48),
    ),
)
def test_a_client_takes_an_answer_or_refuses_it(what, payload):
    with answered(payload) as far, suppress(VfioError):
        found = ASK[what](far)
        if what == "pread":
            assert len(found) <= 4
        elif what == "pwrite":
            assert 0 <= found <= 4
        elif what == "region":
            assert found.index == 9


def test_region_errors_are_rules_or_messages():
    looped = struct.pack("=IIIIQQ", 48, vfio.VFIO_REGION_INFO_FLAG_CAPS, 9, 32, 0, 0)
    looped += struct.pack("=HHI", 2, 1, 32) + bytes(8)
    with answered(looped) as far, pytest.raises(RuleError, match="loops"):
        far.region(9)


def test_the_whole_suite_passes_over_a_connection():
    """The same files that hold the emulated device and the kernel's."""
    root = Path(__file__).parents[2]
    argv = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", "tests/suite"]
    done = subprocess.run(
        argv,
        cwd=root,
        env=os.environ | {"VFIOKIT_SUITE": "vfio-user"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-4000:]
    assert "skipped" not in done.stdout
