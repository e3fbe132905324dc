"""The config state's bytes and orders (v5 spec 5), and what a wrong stream gets."""

import pytest
from scripted import Scripted

from vfiokit.accesses import Emit, Write
from vfiokit.errors import StreamCutError, StreamError
from vfiokit.protocol.stream_cursor import Cursor
from vfiokit.protocol.v5 import AS_POSTED, INTERFACE
from vfiokit.runner import run
from vfiokit.vmm.pci_config_state import INTX, MSI, MSIX, NONE, PciConfig

MSI_AT, MSIX_AT = 0x50, 0x70


def image(*, msi=False, msix=False, wide=True, pin=1, command=0x0406):
    data = bytearray(256)
    data[0x04:0x06] = command.to_bytes(2, "little")
    data[0x06] = 0x10
    for bar in range(6):
        data[0x10 + 4 * bar : 0x14 + 4 * bar] = (0xF000_0000 + 0x1000 * bar).to_bytes(4, "little")
    data[0x34], data[0x3D] = MSI_AT, pin
    control = (0x80 if wide else 0) | (1 if msi else 0) | 0x20
    data[MSI_AT : MSI_AT + 4] = bytes((5, MSIX_AT)) + control.to_bytes(2, "little")
    data[MSI_AT + 4 : MSI_AT + 8] = (0xFEE0_1000).to_bytes(4, "little")
    if wide:
        data[MSI_AT + 8 : MSI_AT + 12] = (7).to_bytes(4, "little")
    data[MSI_AT + (12 if wide else 8) :][:2] = b""
    at = MSI_AT + (12 if wide else 8)
    data[at : at + 2] = (0x4321).to_bytes(2, "little")
    data[MSIX_AT : MSIX_AT + 2] = bytes((0x11, 0))
    data[MSIX_AT + 2 : MSIX_AT + 4] = ((0x8000 if msix else 0) | 9).to_bytes(2, "little")
    data[MSIX_AT + 4 : MSIX_AT + 8] = (0x2002).to_bytes(4, "little")
    return bytes(data)


def save(config):
    world = Scripted()
    run(config.save_config(), world)
    return bytes(world.out)


def load(config, stream):
    world = Scripted(stream=stream)
    run(config.load_config(Cursor()), world)
    return world


BARS = b"".join((0xF000_0000 + 0x1000 * bar).to_bytes(4, "big") for bar in range(6))


@pytest.mark.parametrize(("pin", "mode"), [(0, NONE), (1, INTX)])
def test_thirty_bytes_without_msi(pin, mode):
    config = PciConfig("dev0", image(pin=pin))
    assert config.interrupt == mode
    assert save(config) == BARS + mode.to_bytes(4, "big") + b"\x04\x06"


@pytest.mark.parametrize(("wide", "high"), [(True, 7), (False, 0)])
def test_forty_two_bytes_with_msi(wide, high):
    config = PciConfig("dev0", image(msi=True, wide=wide))
    assert config.interrupt == MSI
    middle = (0xFEE0_1000).to_bytes(4, "big") + high.to_bytes(4, "big") + (0x4321).to_bytes(4, "big")
    assert save(config) == BARS + (2).to_bytes(4, "big") + middle + b"\x04\x06"
    assert len(save(config)) == 42


def test_msix_has_the_odd_word_table_and_pending_bits():
    table = bytes(range(160))
    config = PciConfig("dev0", image(msix=True), table=table)
    assert config.interrupt == MSIX
    saved = save(config)
    assert len(saved) == 32 + 16 * 10 + 2
    # High byte of Message Control in the low half, the table dword's lowest byte in the high half.
    assert saved[28:30] == b"\x02\x80"
    assert saved[30:190] == table
    assert saved[190:192] == bytes(2)


def writes(world):
    return [(x.offset, x.width, x.value) for x in world.log if isinstance(x, Write)]


BAR_WRITES = [(0x10 + 4 * bar, 4, 0xF000_0000 + 0x1000 * bar) for bar in range(6)]


def test_load_order_and_what_the_quirks_add():
    stream = save(PciConfig("dev0", image(command=0x0406)))
    mine = load(PciConfig("dev0", image(command=0x0103)), stream)
    assert writes(mine) == [(4, 2, 0x0100), *BAR_WRITES, (4, 2, 0x0406)]
    posted = load(PciConfig("dev0", image(command=0x0100), profile=AS_POSTED), stream)
    assert writes(posted) == [(4, 2, 0), *BAR_WRITES, (4, 2, 0x0103), (4, 2, 0x0406)]
    assert all(x.event == "vfio_pci_write_config" for x in posted.log if isinstance(x, Emit))


@pytest.mark.parametrize(("profile", "off"), [(INTERFACE, 0xA0), (AS_POSTED, 0)])
def test_load_msi(profile, off):
    stream = save(PciConfig("dev0", image(msi=True)))
    config = PciConfig("dev0", image(), profile=profile)
    world = load(config, stream)
    msi = [write for write in writes(world) if MSI_AT <= write[0] < MSIX_AT]
    assert msi == [
        (MSI_AT + 2, 2, off),
        (MSI_AT + 4, 4, 0xFEE0_1000),
        (MSI_AT + 8, 4, 7),
        (MSI_AT + 12, 2, 0x4321),
        (MSI_AT + 2, 2, 0xA1),
    ]
    assert config.interrupt == MSI


def test_load_msix_round_trip():
    table = bytes(range(160))
    stream = save(PciConfig("dev0", image(msix=True), table=table))
    config = PciConfig("dev0", image())
    world = load(config, stream)
    assert (MSIX_AT + 3, 2, 0x0280) in writes(world)
    assert config.table == table
    assert save(config) == stream


def test_modes_that_do_not_fit():
    plain = bytes(image())[:0x34] + b"\0" + bytes(image())[0x35:]
    msi = save(PciConfig("dev0", image(msi=True)))
    with pytest.raises(StreamError, match="uses MSI"):
        load(PciConfig("dev0", plain), msi)
    with pytest.raises(StreamError, match="interrupt mode 9"):
        load(PciConfig("dev0", plain), msi[:24] + (9).to_bytes(4, "big") + msi[28:])


def test_cut_anywhere():
    stream = save(PciConfig("dev0", image(msix=True)))
    for cut in range(len(stream)):
        with pytest.raises(StreamCutError):
            load(PciConfig("dev0", image()), stream[:cut])


def test_a_capability_chain_that_loops_ends():
    data = bytearray(image())
    data[MSI_AT + 1] = MSI_AT
    assert PciConfig("dev0", bytes(data)).msix == 0
