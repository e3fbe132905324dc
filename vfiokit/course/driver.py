"""Chapter 8: a reader's vendor driver, held against the interface; what is wrong is said in words."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from functools import wraps

from vfiokit.course.exercises import OPEN, Verdict, exercise, right, wrong
from vfiokit.debugger import Debugger, debug
from vfiokit.emulated.driver import DrivenDevice, VendorDriver, open_driver
from vfiokit.errors import DeviceError, VfioError
from vfiokit.recording import Recording
from vfiokit.uapi.migration_v5 import REGISTERS, DeviceState, state_name

__all__ = ()

_MEMORY = 1 << 20
_SOURCE = "emulated:v5?state=256K&dirty=20M/s&dma=4M/s&name=mine"
_THERE = "emulated:v5?state=256K&seed=2&name=there"
_S = DeviceState
# A whole life: saved, saved again after a pause, then a destination's.
_WAY = (_S.SAVING | _S.RUNNING, _S.SAVING, _S.STOPPED, _S.RESUMING, _S.RUNNING)
_MIGRATION = 9

Drivers = type[VendorDriver]
Question = Callable[[Drivers], Verdict]


def _of_a_driver(question: Question) -> Callable[[object], Verdict]:
    """Let *question* be asked of classes of drivers only; a handler that is not written leaves it open."""

    @wraps(question)
    def ask(answer: object) -> Verdict:
        if not (inspect.isclass(answer) and issubclass(answer, VendorDriver)):
            return wrong("a class derived from VendorDriver is wanted")
        try:
            return question(answer)
        except _UnwrittenError:
            return OPEN

    return ask


class _UnwrittenError(Exception):
    """A handler that is needed is not written."""


def _written(device: DrivenDevice) -> None:
    if device.handlers.unwritten:
        raise _UnwrittenError


def _said(error: VfioError) -> str:
    """Return an error in one line: what came back, and why."""
    return error.message + (f" ({error.rule})" if error.rule else "")


# 8.1: states


@exercise("08.1", "write set_state: refuse what is no state, and let the device run or stop")
@_of_a_driver
def states(driver: Drivers) -> Verdict:
    """Walk through all states, and try the two that are none."""
    with open_driver(driver, "emulated:v5?state=64K") as device:
        for new in _WAY:
            try:
                _write_state(device, new)
            except DeviceError as error:
                _written(device)
                return wrong(f"device_state = {int(new)} ({state_name(new)}) was refused: {_said(error)}")
            if device.hardware.running != bool(new & _S.RUNNING):
                does, must = ("works still", "stop") if device.hardware.running else ("stands", "run")
                return wrong(
                    f"after device_state = {int(new)} ({state_name(new)}) the device {does}: "
                    f"RUNNING says {must}, and it is done when set_state returns (v5 spec 1.3)"
                )
        for new in (_S.SAVING | _S.RESUMING, _S.SAVING | _S.RESUMING | _S.RUNNING):
            try:
                _write_state(device, new)
            except DeviceError:
                if not device.hardware.running:
                    return wrong(f"{int(new)} was refused, but the device stopped: a refusal changes nothing")
            else:
                return wrong(f"{int(new)} was taken: SAVING and RESUMING never go together (v5 spec 3.1)")
    return right("every state is entered, the two invalid ones are refused.")


def _write_state(device: DrivenDevice, new: int) -> None:
    device.pwrite(_MIGRATION, 0, int(new).to_bytes(4, sys.byteorder))


# 8.2: saving


@exercise("08.2", "write pending_bytes, data_offset and data_size, for SAVING")
@_of_a_driver
def saving(driver: Drivers) -> Verdict:
    """Migrate into nowhere: the VMM must be content, and every block must have been handed out."""
    with open_driver(driver, _SOURCE) as device:
        session = debug(device, memory=_MEMORY)
        try:
            trouble = _trouble(session, device)
            return trouble or _handed_out(device) or _by_hand(driver) or right(_saved(session.recording))
        finally:
            session.close()


def _trouble(session: Debugger, *devices: DrivenDevice) -> Verdict | None:
    """Run to the end; return what the VMM had to say, if it was not content."""
    stop = session.finish()
    for device in devices:
        _written(device)
    return wrong(_said(stop.error)) if stop.error is not None else None


def _handed_out(device: DrivenDevice) -> Verdict | None:
    hardware = device.hardware
    never, again = hardware.blocks - len(hardware.taken), hardware.changed()
    if never:
        return wrong(
            f"{never} of {hardware.blocks} blocks were never handed out: when SAVING is entered, everything "
            "has to go (v5 spec 1.6; device.all_changed)"
        )
    if again:
        return wrong(f"{again} blocks changed once more and stayed behind: pending_bytes became 0 too early")
    return None


def _by_hand(driver: Drivers) -> Verdict | None:
    """Save a device that changes nothing, register by register, as the VMM would: the figures must fit."""
    with open_driver(driver, "emulated:v5?state=64K") as device:
        try:
            _write_state(device, _S.SAVING | _S.RUNNING)
            told, came = _register(device, "pending_bytes"), _drained(device)
            if not came / 2 <= told <= came * 2:
                return wrong(
                    f"pending_bytes was {told} at the start, and {came} bytes came: it counts bytes, and the "
                    "VMM decides by it when to stop the guest (v5 spec 1.3)"
                )
            _register(device, "data_offset")
            if _register(device, "data_size"):
                return wrong(
                    "nothing was pending, and data_size still told a chunk: a VMM reads data_offset without "
                    "asking first, and data_size is 0 then (v5 spec 2.1)"
                )
            _write_state(device, _S.SAVING)
            if _drained(device) >= came:
                return wrong(
                    "when the guest stops, everything is handed out once more: what has gone and did not "
                    "change need not go again, it is downtime"
                )
        except DeviceError as error:
            _written(device)
            return wrong(_said(error))
    return None


def _drained(device: DrivenDevice) -> int:
    """Take chunks until nothing is pending or no more come; return their bytes."""
    came = 0
    for _ in range(16 * device.hardware.blocks):
        if not _register(device, "pending_bytes"):
            break
        _register(device, "data_offset")
        came += _register(device, "data_size")
    return came


def _register(device: DrivenDevice, name: str) -> int:
    register = REGISTERS[name]
    return int.from_bytes(device.pread(_MIGRATION, register.offset, register.width), sys.byteorder)


def _saved(recording: Recording) -> str:
    sizes = [row.value for row in recording.accesses if row.kind == "Read" and row.what == "data_size"]
    return f"{sum(sizes)} bytes in {sum(map(bool, sizes))} chunks, and nothing stayed behind."


# 8.3: resuming


@exercise("08.3", "write load, and let data_offset answer while RESUMING")
@_of_a_driver
def resuming(driver: Drivers) -> Verdict:
    """Migrate to another device, compare both memories, and offer a chunk that is none."""
    with open_driver(driver, _SOURCE) as here, open_driver(driver, _THERE, clock=here.clock) as there:
        trouble = _migrate(here, there)
        if trouble is not None:
            return trouble
    with open_driver(driver, _THERE) as there:
        _write_state(there, _S.STOPPED)
        _write_state(there, _S.RESUMING)
        there.handlers.driver.state = int(_S.RESUMING)
        try:
            there.handlers.call("load", b"\xff" * 3)
        except DeviceError:
            return right("source and destination have the same memory, and a chunk of 3 bytes was refused.")
    return wrong("a chunk of 3 bytes was taken: a stream may hold anything, refuse what is not yours")


def _migrate(here: DrivenDevice, there: DrivenDevice) -> Verdict | None:
    session = debug(here, there, memory=_MEMORY)
    try:
        trouble = _trouble(session, here, there)
    finally:
        session.close()
    return trouble or _handed_out(here) or _differences(here, there)


def _differences(here: DrivenDevice, there: DrivenDevice) -> Verdict | None:
    blocks = range(here.hardware.blocks)
    differ = [block for block in blocks if here.hardware.read(block) != there.hardware.read(block)]
    if not differ:
        return None
    if len(differ) == len(blocks):
        return wrong("the destination's memory has nothing of the source's: what does load do with a chunk?")
    return wrong(
        f"{len(differ)} of {len(blocks)} blocks differ at the destination, the first is {differ[0]}: "
        "is each written to where it was, and is a block's last state the one that arrives?"
    )


# 8.4: again


@exercise("08.4", "nothing may be left of the first try: where does saving begin?")
@_of_a_driver
def after_a_cancel(driver: Drivers) -> Verdict:
    """Cancel in the middle of pre-copy; the device runs on, and migrates with the next try."""
    with open_driver(driver, _SOURCE) as here, open_driver(driver, _THERE, clock=here.clock) as there:
        session = debug(here, memory=_MEMORY)
        try:
            session.until("vfio_save_buffer")
            _written(here)
            if not session.ended:
                session.cancel()
        finally:
            session.close()
        if not here.hardware.running:
            return wrong("after the cancel the device stands: the guest runs on and misses it")
        trouble = _migrate(here, there)
        if trouble is not None:
            return wrong(f"the try after the cancel: {trouble.text}")
    return right("cancelled, run on, migrated: your driver is up.")
