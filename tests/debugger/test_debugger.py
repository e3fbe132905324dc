"""The debugger's verbs at its public surface: step, next, until, breakpoints, forced values, rewind."""

import errno

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import vfiokit
from vfiokit.accesses import Emit, MarkDirty, Read, Write
from vfiokit.clock import SimulatedClock
from vfiokit.debugger import Breakpoint, Moment, flow_stack
from vfiokit.debugger.conditions import number, parse_condition
from vfiokit.errors import (
    AddressError,
    DeviceBusyError,
    MigrationCancelledError,
    MigrationFailedError,
    RuleError,
    StateError,
    VfioError,
)
from vfiokit.migration import migrate, save_file
from vfiokit.vmm.outgoing import Parameters

MEMORY = 1 << 20
WORK = "state=256K&chunk=64K&dirty=1M/s&dma=1M/s"
LIMITS = Parameters(downtime_limit_ns=20_000_000, bandwidth=50 << 20)


def devices(options=WORK, count=1):
    clock = SimulatedClock()
    sources = [
        vfiokit.open(f"emulated:v5?{options}&name=dev{n}&seed={n + 1}".replace("&&", "&"))
        for n in range(count)
    ]
    for device in sources:
        device.clock = clock
    return [
        [_open(f"emulated:v5?{options}&name=dev{n}&seed={n + 1}", clock) for n in range(count)],
        [_open(f"emulated:v5?state=256K&fill=zero&name=to{n}", clock) for n in range(count)],
    ]


def _open(address, clock):
    from vfiokit.addresses import open_device

    return open_device(address, clock=clock)


@pytest.fixture
def dbg():
    source, there = devices()
    debugger = vfiokit.debug(source, there, memory=MEMORY, parameters=LIMITS)
    yield debugger
    debugger.close()


def test_nothing_is_done_before_the_first_step(dbg):
    assert dbg.history == []
    assert dbg.next_access is not None
    assert dbg.moment.count == 0


def test_step_performs_what_was_shown(dbg):
    for _ in range(300):
        shown = dbg.next_access
        side = dbg.side
        stop = dbg.step()
        assert (stop.access, stop.side) == (shown, side)
    assert len(dbg.history) == 300


def test_stepping_gives_the_stream_of_running(tmp_path):
    """Access by access, and at full speed: the same bytes."""
    run_path = tmp_path / "run"
    source, _ = devices()
    save_file(source, run_path, memory=MEMORY, parameters=LIMITS)
    source, _ = devices()
    debugger = vfiokit.debug(source, memory=MEMORY, parameters=LIMITS)
    stepped = bytearray()
    while not debugger.ended:
        access = debugger.next_access
        if type(access).__name__ == "Put":
            stepped += access.data
        debugger.step()
    debugger.close()
    assert bytes(stepped) == run_path.read_bytes()


def test_finish_migrates_both_ends(dbg):
    stop = dbg.finish()
    assert stop.reason == "ended"
    assert dbg.moment.side("source").migration == "completed"
    assert dbg.moment.side("destination").vm == "running"
    assert dbg.moment.side("source").stream == dbg.moment.side("destination").stream
    assert dbg.step().ended


def test_next_goes_from_callback_to_callback(dbg):
    seen = []
    while not dbg.next("source").ended and not dbg.ends["source"].done:
        seen.append(flow_stack.callback(dbg.where("source")).function)
    assert seen[:4] == ["probe", "vm_state_changed", "notify_status", "save_setup"]
    assert seen[-3:] == ["save_cleanup", "notify_status", "finalize"]
    assert {"save_pending", "save_iterate", "save_complete"} <= set(seen)


def test_until_everything(dbg):
    assert isinstance(dbg.until("vfio_save_setup").access, Emit)
    stop = dbg.until(access="read data_offset", side="source")
    assert stop.access is None
    assert dbg.next_access.field == "data_offset"
    assert "stage the next chunk" in dbg.explain()
    dbg.until(turn=5)
    assert dbg.moment.side("source").sample.turn == 5
    stop = dbg.until(pending_below=200 << 10)
    assert isinstance(stop.access, Read)
    assert stop.result < 200 << 10
    dbg.until(state="stop-and-copy")
    assert dbg.moment.side("source").device("dev0").state == 2
    now = dbg.moment.time_ns
    dbg.until(time_ns=now + 100_000)
    assert dbg.moment.time_ns >= now + 100_000
    assert dbg.breakpoints == []
    with pytest.raises(AddressError):
        dbg.until()


def test_breakpoints_conditions_hits_and_actions(dbg):
    hits = []
    point = dbg.add(
        Breakpoint(
            access="read data_size",
            condition="data_offset >= 0x1000",
            ignore=2,
            actions=[lambda p, m: hits.append(m.count)],
        )
    )
    stop = dbg.finish()
    assert stop.breakpoint is point
    assert point.hits == 3 == len(hits)
    assert dbg.next_access.field == "data_size"
    point.enabled = False
    watch = dbg.add(Breakpoint(watch="device_state", side="source"))
    stop = dbg.finish()
    assert stop.breakpoint is watch
    assert isinstance(stop.access, Write)
    dbg.breakpoints.clear()
    counter = dbg.add(Breakpoint(event="vfio_save_*", stops=False))
    assert dbg.finish().reason == "ended"
    assert counter.hits > 0


def test_breakpoints_on_one_of_three_devices():
    source, there = devices(count=3)
    debugger = vfiokit.debug(source, there, memory=MEMORY, parameters=LIMITS)
    stop = debugger.until("vfio_save_iterate", device="dev2")
    assert stop.access.args[0] == "dev2"
    assert debugger.until(state="stopped", device="dev1").access is not None
    assert debugger.finish().reason == "ended"
    debugger.close()


def test_a_forced_errno_is_seen_by_the_vmm(dbg):
    dbg.until(access="read data_offset")
    stop = dbg.step(errno=errno.EIO)
    assert "EIO" in str(stop.refused)
    stop = dbg.finish()
    assert stop.reason == "failed"
    assert isinstance(stop.error, MigrationFailedError)
    assert dbg.moment.side("source").device("dev0").state == 1


def test_a_forced_value_is_seen_by_the_vmm(dbg):
    dbg.until(access="read data_size")
    dbg.step(value=1 << 60)
    stop = dbg.finish()
    assert isinstance(stop.error.__cause__, RuleError)
    assert dbg.step(errno=errno.EIO).ended


def test_what_cannot_be_forced(dbg):
    with pytest.raises(StateError, match="a register read"):
        dbg.step(value=3)
    dbg.until(access="read *", side="source")
    with pytest.raises(AddressError, match="does not fit"):
        dbg.step(value=1 << 64)
    with pytest.raises(StateError, match="errno"):
        dbg.step(errno=100000)


def test_one_side_at_a_time(dbg):
    stop = dbg.step("destination", count=10_000)
    assert stop.reason == "starved"
    assert "take" in str(dbg.ends["destination"].next)
    dbg.step("source", count=400)
    assert dbg.step("destination").reason == "step"


def test_rewind_shows_any_earlier_moment(dbg):
    kept = {}
    while not dbg.ended:
        if dbg.moment.count % 97 == 0:
            kept[dbg.moment.count] = dbg.moment.copy()
        dbg.step()
    for count, moment in kept.items():
        assert dbg.at(count) == moment
    assert dbg.at(0) == Moment()
    with pytest.raises(AddressError):
        dbg.at(10**9)


def test_what_was_dirty_at_any_earlier_moment():
    source, there = devices("state=256K&chunk=64K&dma=8M/s&pattern=random")
    dbg = vfiokit.debug(source, there, memory=8 << 20, parameters=Parameters(4_000_000, 40 << 20))
    seen = {}
    while not dbg.ended:
        if isinstance(dbg.step().access, MarkDirty):
            seen[len(dbg.history)] = dbg.dirtied()
    assert len(seen) > 1
    for count, runs in seen.items():
        assert dbg.dirtied(count) == runs
    pages = [sum(size for _, size in runs) for runs in seen.values()]
    assert pages == sorted(pages)
    assert all(first + size <= (8 << 20) // 4096 for first, size in dbg.dirtied())
    assert dbg.dirtied(0) == []
    dbg.close()


def test_rewind_over_checkpoints():
    source, there = devices("state=4M&chunk=16K")
    debugger = vfiokit.debug(source, there[:0] or None, memory=MEMORY)
    debugger.finish()
    assert len(debugger.history) > 3000
    half = debugger.at(2500)
    assert half.count == 2500
    assert half.side("source").accesses == 2500
    debugger.close()


@settings(max_examples=25)
@given(st.integers(0, 1200))
def test_cancel_at_any_point_leaves_the_source_running(count):
    source, there = devices()
    debugger = vfiokit.debug(source, there, memory=MEMORY, parameters=LIMITS)
    debugger.step(count=count) if count else None
    here = debugger.ends["source"]
    if here.done:
        with pytest.raises(StateError):
            debugger.cancel()
        return
    stop = debugger.cancel()
    assert debugger.ended
    state = int.from_bytes(source[0].pread(9, 0, 4), "little")
    if here.error is None:  # too late: all had been sent
        assert state == 0
    else:
        assert isinstance(stop.error, (MigrationCancelledError, VfioError))
        assert state == 1
    debugger.close()


def test_where_names_the_flow(dbg):
    dbg.until(access="read data_offset")
    functions = [frame.function for frame in dbg.where()]
    assert functions[0] == "source_flow"
    assert functions[-2:] == ["save_iterate", "save_buffer"]


def test_stepping_ends_as_migrating(dbg):
    dbg.finish()
    source, there = devices()
    report = migrate(source, there, memory=MEMORY, parameters=LIMITS, verify=False)
    assert dbg.moment.side("source").stream == report.outgoing.transferred


@pytest.mark.parametrize(
    ("text", "value"), [("4096", 4096), ("0x40", 64), ("1M", 1 << 20), ("1.5K", 1536), ("20ms", 20_000_000)]
)
def test_numbers(text, value):
    assert number(text) == value


def test_conditions():
    holds = parse_condition("pending_bytes < 1M and device_state == 3")
    assert holds({"pending_bytes": 5, "device_state": 3})
    assert not holds({"pending_bytes": 5, "device_state": 2})
    assert not holds({"device_state": 3})
    assert parse_condition("device_state & 2")({"device_state": 3})
    for text in ("", "x", "x ~ 3", "x < y z", "import os"):
        with pytest.raises(AddressError):
            parse_condition(text)


@given(st.text(max_size=40))
def test_any_text_is_a_condition_or_an_error(text):
    try:
        parse_condition(text)({"a": 1})
    except AddressError:
        pass


def test_a_device_that_is_in_a_session_is_told_to_be():
    (source,), _ = devices()
    first = vfiokit.debug(source, memory=MEMORY)
    with pytest.raises(DeviceBusyError, match=r"(?s)dev0.*in another session"):
        vfiokit.debug(source, memory=MEMORY)
    first.close()
    vfiokit.debug(source, memory=MEMORY).close()
