"""vfio-user's messages: their layout, and what comes of bytes that are none."""

import errno
import json
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from vfio_user_ends import HELLO, BytesChannel, message, messages

from vfiokit.device.info_chain import parse_region
from vfiokit.device.vfio_user import wire
from vfiokit.device.vfio_user.server import serve
from vfiokit.emulated import open_emulated
from vfiokit.errors import DeviceError, RuleError
from vfiokit.uapi import vfio
from vfiokit.uapi.info import Area, Region

# Offset and size of every field, as the protocol's text has them.
LAYOUT = {
    wire.Header: {"id": (0, 2), "command": (2, 2), "size": (4, 4), "flags": (8, 4), "error": (12, 4)},
    wire.Version: {"major": (0, 2), "minor": (2, 2)},
    wire.DmaMap: {"argsz": (0, 4), "flags": (4, 4), "offset": (8, 8), "address": (16, 8), "size": (24, 8)},
    wire.DmaUnmap: {"argsz": (0, 4), "flags": (4, 4), "address": (8, 8), "size": (16, 8)},
    wire.DeviceInfo: {"argsz": (0, 4), "flags": (4, 4), "num_regions": (8, 4), "num_irqs": (12, 4)},
    wire.RegionAccess: {"offset": (0, 8), "region": (8, 4), "count": (12, 4)},
}
SIZES = {wire.Header: 16, wire.Version: 4, wire.DmaMap: 32, wire.DmaUnmap: 24, wire.DeviceInfo: 16}


@pytest.mark.parametrize("kind", LAYOUT, ids=lambda kind: kind.C_NAME)
def test_structures_are_laid_out_as_the_text_says(kind):
    assert {name: (kind.c_offset(name), kind.c_width(name)) for name in kind.c_fields()} == LAYOUT[kind]
    assert kind.c_size() == SIZES.get(kind, 16)


def test_commands_have_their_numbers():
    assert [wire.Command[name] for name in ("VERSION", "DMA_MAP", "DMA_UNMAP", "DEVICE_GET_INFO")] == [
        1,
        2,
        3,
        4,
    ]
    assert (wire.Command.REGION_READ, wire.Command.REGION_WRITE, wire.Command.DEVICE_RESET) == (9, 10, 13)
    assert wire.Command.text(14) == "command 14"  # DIRTY_PAGES once; not reused


def test_version_is_what_others_send():
    payload = wire.pack_version(2, wire.Capabilities(max_msg_fds=8))
    assert payload[:4] == struct.pack("=HH", 0, 2)
    assert payload[-1] == 0
    assert json.loads(payload[4:-1])["capabilities"]["max_msg_fds"] == 8
    qemu = b'{"capabilities": {"max_msg_fds": 16, "migration": {"pgsize": 4096}, "write_multiple": true}}\0'
    version, found = wire.parse_version(struct.pack("=HH", 0, 0) + qemu, "client")
    assert (version.minor, found.max_msg_fds, found.max_data_xfer_size) == (0, 16, 1 << 20)
    assert wire.parse_version(bytes(4), "client")[1] == wire.Capabilities()


@pytest.mark.parametrize(
    "text",
    [
        b"{}",
        b"[]\0",
        b"\xff\0",
        b"[" * 100_000 + b"\0",
        b'{"capabilities": 1}\0',
        b'{"capabilities": {"max_msg_fds": true}}\0',
        b'{"capabilities": {"max_data_xfer_size": 1}}\0',
        b'{"capabilities": {"pgsizes": "4096"}}\0',
    ],
)
def test_capabilities_that_cannot_be(text):
    with pytest.raises(wire.MessageError) as caught:
        wire.parse_version(bytes(4) + text, "client")
    assert caught.value.errno == errno.EPROTO
    assert len(str(caught.value)) < 1000


@given(st.binary(max_size=200))
def test_a_version_or_a_message_error(data):
    try:
        _, found = wire.parse_version(data, "client")
    except wire.MessageError:
        return
    assert found.max_data_xfer_size >= 8


areas = st.lists(st.builds(Area, st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1)), max_size=5)
regions = st.builds(
    Region,
    index=st.integers(0, 20),
    flags=st.integers(0, 7),
    size=st.integers(0, 2**64 - 1),
    offset=st.integers(0, 2**64 - 1),
    sparse=st.none() | areas.map(tuple),
    type=st.none() | st.tuples(st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1)),
    msix_mappable=st.booleans(),
    other_capabilities=st.lists(st.integers(4, 2**16 - 1), max_size=3).map(tuple),
)


@given(regions)
def test_a_region_arrives_as_it_left(region):
    packed = wire.pack_region(region, 1 << 16)
    found = parse_region(packed, "here")
    caps = vfio.VFIO_REGION_INFO_FLAG_CAPS
    assert found.flags & ~caps == region.flags & ~caps
    assert bool(found.flags & caps) == (len(packed) > 32)
    for name in ("index", "size", "offset", "sparse", "type", "msix_mappable", "other_capabilities"):
        assert getattr(found, name) == getattr(region, name)


@given(regions)
def test_a_region_for_whom_capabilities_do_not_fit(region):
    whole, short = wire.pack_region(region, 1 << 16), wire.pack_region(region, 32)
    assert len(short) == 32
    info = vfio.RegionInfo.read_from(short)
    assert info.argsz == len(whole)
    assert not info.flags & vfio.VFIO_REGION_INFO_FLAG_CAPS


payloads = st.one_of(
    st.binary(max_size=40),
    st.builds(
        lambda *words: struct.pack("=IIII", *words), *[st.integers(0, 12) | st.integers(0, 2**32 - 1)] * 4
    ),
    st.builds(
        lambda offset, region, count, data: struct.pack("=QII", offset, region, count) + data,
        st.integers(0, 64) | st.integers(0, 2**64 - 1),
        st.integers(0, 12),
        st.integers(0, 16) | st.integers(0, 2**32 - 1),
        st.binary(max_size=16),
    ),
)
places = st.sampled_from([0, 0x1000, 0x2000, 0x1001, 2**63, 2**64 - 1])
dma = st.one_of(
    st.builds(
        lambda flags, *words: message(2, struct.pack("=IIQQQ", 32, flags, *words)),
        st.integers(0, 15),
        *[places] * 3,
    ),
    st.builds(lambda *words: message(3, struct.pack("=IIQQ", 24, 0, *words)), *[places] * 2),
)
commands = st.builds(
    lambda command, payload, flags: message(command, payload, flags=flags),
    st.integers(1, 19),
    payloads,
    st.sampled_from([0, 0, 0, 1, 16, 32, 2]),
)


@given(st.lists(commands | dma | st.binary(max_size=40), max_size=6), st.booleans())
def test_a_server_answers_anything_or_says_why_not(found, hello):
    channel = BytesChannel((HELLO if hello else b"") + b"".join(found))
    with open_emulated("emulated:v5?state=64K&name=near") as device:
        try:
            serve(device, channel, window=memoryview(bytearray(0x3000)))
        except wire.MessageError as error:
            assert error.rule
        assert device.dma.mappings == ()  # a client that is gone has none
    for _, _, flags, error, payload in messages(bytes(channel.sent)):
        assert flags in (1, 0x21)
        assert bool(flags & 0x20) == bool(error)
        assert not (error and payload)
    if hello:
        assert messages(bytes(channel.sent))[0][:4] == (7, 1, 1, 0)


@given(st.binary(max_size=100))
def test_noise_before_the_first_answer_is_passed_over(noise):
    channel = BytesChannel(noise + message(1, bytes(4), number=0xBEEF, flags=1))
    try:
        found = channel.receive_after_noise(0xBEEF, 1, "server")
    except EOFError:
        assert struct.pack("=HH", 0xBEEF, 1) in noise  # it looked like the answer
        return
    assert found.header.id == 0xBEEF


def test_errors_are_of_the_family():
    error = wire.MessageError("far", "nonsense", rule="sense")
    assert isinstance(error, DeviceError)
    assert not isinstance(error, RuleError)
    assert "vfio-user" in str(error)
