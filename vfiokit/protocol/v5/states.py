"""Device states: the legal writes as a table, and the three places that write (patches 06, 07).

v5 spec 3.1 to 3.3, 6.3, 6.4.
"""

from __future__ import annotations

from enum import IntEnum

from vfiokit.accesses import Emit, Enter, Flow, Say
from vfiokit.errors import AccessError, StateError
from vfiokit.protocol.v5.device import MigratingDevice
from vfiokit.uapi.migration_v5 import VFIO_DEVICE_STATE_MASK, DeviceState, state_name

__all__ = ("TRANSITIONS", "MigrationStatus", "notify_status", "set_state", "vm_state_changed")

_S = DeviceState
_PRE_COPY = _S.SAVING | _S.RUNNING

# v5 spec 3.2: what a VMM may ask for, by the state it wrote last. 2 to 3 is a guest that was paused and
# continued during pre-copy: the posting writes 1 there and loses the migration (V4).
# 4 to 0, and 0 to 2 after it, are of one who looks at what arrived before the guest runs.
TRANSITIONS: dict[int, frozenset[int]] = {
    int(_S.STOPPED): frozenset({_S.STOPPED, _S.RUNNING, _S.SAVING, _S.RESUMING}),
    int(_S.RUNNING): frozenset({_S.STOPPED, _S.RUNNING, _S.SAVING, _PRE_COPY, _S.RESUMING}),
    int(_S.SAVING): frozenset({_S.STOPPED, _S.RUNNING, _S.SAVING, _PRE_COPY}),
    int(_PRE_COPY): frozenset({_S.RUNNING, _S.SAVING}),
    int(_S.RESUMING): frozenset({_S.STOPPED, _S.RUNNING}),
}


class MigrationStatus(IntEnum):
    """QEMU's MigrationStatus of July 2019; the numbers stand in the event of 07/13 (v5 spec 6.4)."""

    NONE = 0
    SETUP = 1
    CANCELLING = 2
    CANCELLED = 3
    ACTIVE = 4
    POSTCOPY_ACTIVE = 5
    POSTCOPY_PAUSED = 6
    POSTCOPY_RECOVER = 7
    COMPLETED = 8
    FAILED = 9
    COLO = 10
    PRE_SWITCHOVER = 11
    DEVICE = 12


def set_state(device: MigratingDevice, state: int) -> Flow[None]:
    """vfio_migration_set_state: write *state*, keeping bits 3 to 31 of the last one written.

    StateError before the write when the arc is not one of `TRANSITIONS`; AccessError when the device
    refuses. Either way ``device.device_state`` still tells the state that the device is in.
    """
    old = device.device_state & VFIO_DEVICE_STATE_MASK
    new = (state & VFIO_DEVICE_STATE_MASK) | (device.device_state & ~VFIO_DEVICE_STATE_MASK)
    wanted = new & VFIO_DEVICE_STATE_MASK
    if wanted not in TRANSITIONS[old]:
        before = [state_name(start) for start, ends in TRANSITIONS.items() if wanted in ends]
        asked = f"device_state = {new:#x} ({state_name(new)})"
        yield Say(device.name, f"{device.name}: {asked} was not written: the device is in {state_name(old)}")
        raise StateError(
            f"set {device.name} to {state_name(new)}",
            state_name(old),
            before or ("no state",),
            rule="the states a VMM may ask for (v5 spec 3.2)",
        )
    try:
        yield device.write("device_state", new)
    except AccessError as error:
        yield Say(
            device.name, f"{device.name}: device_state = {new:#x} ({state_name(new)}) failed: {error.message}"
        )
        raise
    device.device_state = new
    yield Enter(device.name, state_name(new))
    yield Emit("vfio_migration_set_state", (device.name, new))


def vm_state_changed(
    device: MigratingDevice, running: bool, reason: str, *, migrating: bool = False
) -> Flow[AccessError | None]:
    """vfio_vmstate_change: the VM started or stopped.

    :param reason: the run state's name
    :param migrating: a migration goes on, so that a start keeps SAVING (V4)
    :returns: the device's refusal, which the posting drops (V5); its caller must not
    """
    if device.vm_running == running:
        return None
    if running:
        requested = int(DeviceState.RUNNING)
        if migrating:
            requested |= device.device_state & DeviceState.SAVING
    else:
        requested = device.device_state & VFIO_DEVICE_STATE_MASK & ~DeviceState.RUNNING
        if reason == "save-vm" and not device.profile.has("snapshot-by-way-of-stopped"):
            requested |= DeviceState.SAVING
    failure = None
    try:
        yield from set_state(device, requested)
    except AccessError as error:
        failure = error
    device.vm_running = running
    yield Emit("vfio_vmstate_change", (device.name, int(running), reason, requested))
    return failure


def notify_status(device: MigratingDevice, status: MigrationStatus) -> Flow[None]:
    """vfio_migration_state_notifier: after a cancel or a failure the device runs again.

    It is told so when the guest runs; the posting starts it under a paused guest as well (V7), where
    only SAVING must go. A refusal is a message: nobody is left to tell.
    """
    yield Emit("vfio_migration_state_notifier", (device.name, int(status)))
    if status in (MigrationStatus.CANCELLING, MigrationStatus.CANCELLED, MigrationStatus.FAILED):
        try:
            yield from set_state(device, DeviceState.RUNNING if device.vm_running else DeviceState.STOPPED)
        except AccessError:
            return  # set_state has said it
