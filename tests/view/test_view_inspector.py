"""The inspector: registers, accesses in words, config space of both sides; all text is data."""

import pytest

from vfiokit.accesses import Query, Read, ReadData, Write
from vfiokit.errors import AccessError, AddressError
from vfiokit.recording import Recording
from vfiokit.uapi.info import Region
from vfiokit.view.inspector import inspector

MIGRATION = Region(9, 15, 0x13000, type=(2, 1))


def record(recording, access, result=None, side="source", error=None):
    recording.access(side, access, result, error, (recording.seq + 1) * 1000, 1)


def image(command):
    data = bytearray(256)
    data[:6] = (0x1234).to_bytes(2, "little") + (0x5678).to_bytes(2, "little") + command.to_bytes(2, "little")
    return bytes(data)


def both_sides():
    recording = Recording()
    for side, name, command in (("source", "a", 7), ("destination", "b", 3)):
        record(recording, Query(name, 9), MIGRATION, side)
        record(recording, ReadData(name, 7, 0, 256, None), image(command), side)
    return recording


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_registers_and_what_just_changed(theme):
    recording = both_sides()
    record(recording, Write("a", 9, 0, 4, "device_state", 1))
    record(recording, Write("a", 9, 0, 4, "device_state", 3))
    picture = inspector(recording, theme=theme)
    text = picture.registers.text
    assert "<td class=n>0x3</td><td>pre-copy</td><td class=n>0x1</td>" in text
    assert "<tr class=lit><td class=n>0x00</td><td><b class=mark>●</b> device_state</td>" in text
    assert text.count("not accessed yet") == 8
    record(recording, Read("a", 9, 8, 8, "pending_bytes"), 0x40000)
    assert picture.update()
    text = picture.registers.text
    assert text.count("<tr class=lit>") == 1
    assert "<td class=n>0x40000</td><td>256.00 KiB</td>" in text
    assert not picture.update()
    assert picture.html("registers").startswith("<!DOCTYPE html>")


def test_accesses_in_words_with_errors():
    recording = both_sides()
    access = Read("a", 9, 8, 8, "pending_bytes")
    record(recording, access, error=AccessError(access, errno=5))
    text = inspector(recording).accesses.text
    assert "read pending_bytes: failed, " in text
    assert "EIO" in text
    assert "read 256 B of region 7 at 0x0, trapped" in text
    assert text.index("failed") < text.index("read 256 B")


def test_only_the_last_accesses_are_told():
    recording = both_sides()
    for value in range(100):
        record(recording, Read("a", 9, 8, 8, "pending_bytes"), value)
    text = inspector(recording).accesses.text
    assert text.count("<tr") == 13
    assert "pending_bytes = 0x63 (99 B)" in text


def test_config_space_of_both_sides():
    recording = both_sides()
    picture = inspector(recording)
    text = picture.config.text
    assert "Config space: 1 registers differ" in text
    assert "<th>source: a</th><th>destination: b</th>" in text
    assert "<b class=mark>●</b> COMMAND</td><td class=n>0x0007</td><td class=n>0x0003</td>" in text
    record(recording, Write("b", 7, 4, 2, "command", 7), side="destination")
    assert picture.update()
    assert "Config space: 0 registers differ" in picture.config.text


def test_one_side_alone():
    recording = Recording()
    record(recording, ReadData("a", 7, 0, 256, None), image(7))
    assert "<th>source: a</th><th>meaning</th>" in inspector(recording).config.text
    assert "No device on the destination yet" in inspector(recording, side="destination").title.text


def test_an_empty_recording_grows(tmp_path):
    recording = Recording()
    picture = inspector(recording)
    assert "No device on the source yet" in picture.title.text
    assert not picture.update()
    record(recording, Query("a", 9), MIGRATION)
    assert picture.update()
    assert "It was not read yet" in picture.config.text
    recording.save(tmp_path / "x.vfk")
    assert inspector(Recording.load(tmp_path / "x.vfk")).registers.text == picture.registers.text


def test_text_of_devices_is_escaped():
    evil = "<script>alert(1)</script>"
    recording = Recording()
    record(recording, Query(evil, 9), MIGRATION)
    record(recording, ReadData(evil, 7, 0, 256, None), image(7))
    access = Read(evil, 9, 8, 8, evil)
    error = AccessError(access, errno=5)
    error.message = evil
    record(recording, access, error=error)
    picture = inspector(recording)
    for part in (picture.title, picture.registers, picture.accesses, picture.config):
        assert "<script" not in part.text
    assert "&lt;script&gt;" in picture.accesses.text
    assert evil not in picture.html(evil)


def test_a_device_that_is_not_there():
    with pytest.raises(AddressError, match="no device 'x' on the source"):
        inspector(both_sides(), device="x")
