"""Stepping access by access gives what running gives, over every way to reach a device."""

import vfiokit
from vfiokit.accesses import Put
from vfiokit.console.commands import Commands
from vfiokit.emulated.program import write_register
from vfiokit.migration import save_file
from vfiokit.vmm.outgoing import Parameters

MEMORY = 1 << 20
# With no downtime allowed the loop ends by what is pending alone: time has no part in the stream.
PARAMETERS = Parameters(downtime_limit_ns=0)
SCRIPT = (
    "next",
    "until vfio_save_iterate",
    "info",
    "where",
    "break read data_offset",
    "c",
    "info dirty",
    "d",
    "c",
)


def prepared(world):
    device = world.open()
    write_register(device, "SCRATCH", 0x5A)
    write_register(device, "STATE_DOORBELL", 30)
    return device


def test_the_same_stream_byte_for_byte(world, tmp_path):
    path = tmp_path / "run"
    save_file(prepared(world), path, memory=MEMORY, parameters=PARAMETERS)
    debugger = vfiokit.debug(prepared(world), memory=MEMORY, parameters=PARAMETERS)
    stepped = bytearray()
    while not debugger.ended:
        access = debugger.next_access
        if isinstance(access, Put):
            stepped += access.data
        debugger.step()
    debugger.close()
    assert bytes(stepped) == path.read_bytes()


def test_both_ends_are_stepped_and_replayed_without_the_devices(world, tmp_path):
    source, there = prepared(world), world.open()
    debugger = vfiokit.debug(source, there, memory=MEMORY, record=tmp_path / "x.vfk")
    debugger.until("vfio_save_iterate")
    debugger.until(state="stop-and-copy")
    assert debugger.moment.side("source").device(source.name).state == 2
    assert debugger.finish().reason == "ended"
    debugger.close()
    again = vfiokit.replay(tmp_path / "x.vfk")
    assert again.finish().reason == "ended"
    assert again.moment.sides == debugger.moment.sides


def test_cancel_from_the_debugger(world):
    source = prepared(world)
    debugger = vfiokit.debug(source, world.open(), memory=MEMORY)
    debugger.until(access="read data_offset")
    debugger.cancel()
    assert int.from_bytes(source.pread(9, 0, 4), "little") == 1
    debugger.close()


def test_the_terminals_commands_over_this_device(world):
    debugger = vfiokit.debug(prepared(world), world.open(), memory=MEMORY)
    commands = Commands(debugger)
    shown = [line for text in SCRIPT for line in commands.run(text)]
    assert not commands.failed, shown
    assert any("[pre-copy]" in line for line in shown)
    assert shown[-1] == "the migration has ended"
    debugger.close()
