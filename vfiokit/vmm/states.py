"""VM states, and the legal triples (VM, migration, device) as a table.

The triples are the cover letter's two charts (v5 spec 3.4, 3.5) with the moments between them: a VM
stops before its devices are told so one by one, and a failure leaves them where they were. The flows are
checked against the table as they run.
"""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple

from vfiokit.errors import StateError
from vfiokit.protocol.v5.states import MigrationStatus
from vfiokit.uapi.migration_v5 import VFIO_DEVICE_STATE_MASK, DeviceState, state_name

__all__ = ("TRIPLES", "RunState", "Triple", "check_triple")


class RunState(Enum):
    """QEMU's run states; the values are the names in trace events (v5 spec 8.4)."""

    PRELAUNCH = "prelaunch"
    RUNNING = "running"
    PAUSED = "paused"
    SAVE_VM = "save-vm"
    RESTORE_VM = "restore-vm"
    IN_MIGRATE = "inmigrate"
    FINISH_MIGRATE = "finish-migrate"
    POST_MIGRATE = "postmigrate"

    @property
    def runs(self) -> bool:
        """The guest's CPUs run."""
        return self is RunState.RUNNING


class Triple(NamedTuple):
    """One line of the charts."""

    vm: RunState
    migration: MigrationStatus
    device: int


_R, _M, _D = RunState, MigrationStatus, DeviceState
_PRE_COPY = _D.SAVING | _D.RUNNING
_IDLE = (_R.PRELAUNCH, _R.PAUSED, _R.POST_MIGRATE, _R.IN_MIGRATE)
_ENDED = (_M.CANCELLING, _M.CANCELLED, _M.FAILED)


def _chart() -> frozenset[Triple]:
    lines: list[tuple[tuple[RunState, ...], tuple[MigrationStatus, ...], tuple[int, ...]]] = [
        # No migration. A device that nobody has told yet runs, whatever the VM does.
        ((_R.RUNNING,), (_M.NONE, _M.SETUP), (_D.RUNNING, _D.STOPPED)),
        (_IDLE, (_M.NONE, _M.SETUP), (_D.STOPPED, _D.RUNNING)),
        # Source, the guest runs.
        ((_R.RUNNING,), (_M.SETUP, _M.ACTIVE), (_PRE_COPY,)),
        # Source, the guest is paused; a stop or a start during pre-copy reaches the devices one by one.
        ((_R.PAUSED, _R.PRELAUNCH), (_M.SETUP, _M.ACTIVE), (_D.SAVING,)),
        ((_R.PAUSED,), (_M.ACTIVE,), (_PRE_COPY,)),
        ((_R.RUNNING,), (_M.ACTIVE,), (_D.SAVING,)),
        # Stop-and-copy.
        ((_R.FINISH_MIGRATE,), (_M.ACTIVE,), (_PRE_COPY, _D.SAVING)),
        ((_R.FINISH_MIGRATE,), (_M.DEVICE,), (_D.SAVING, _D.STOPPED)),
        ((_R.FINISH_MIGRATE, _R.POST_MIGRATE), (_M.COMPLETED,), (_D.STOPPED,)),
        # Cancelled or failed: everywhere on the way, then back to running, or stopped under a paused guest.
        ((_R.RUNNING,), _ENDED, (_PRE_COPY, _D.SAVING, _D.STOPPED, _D.RUNNING)),
        ((_R.FINISH_MIGRATE,), _ENDED, (_PRE_COPY, _D.SAVING, _D.STOPPED)),
        ((_R.PAUSED, _R.PRELAUNCH), _ENDED, (_D.SAVING, _D.STOPPED, _D.RUNNING)),
        # A guest continued on the source after all.
        ((_R.RUNNING,), (_M.COMPLETED,), (_D.STOPPED, _D.RUNNING)),
        # Snapshot.
        ((_R.SAVE_VM,), (_M.NONE, _M.SETUP, _M.ACTIVE, *_ENDED), (_D.STOPPED, _D.SAVING, _D.RUNNING)),
        ((_R.SAVE_VM, _R.RUNNING), (_M.COMPLETED,), (_D.STOPPED, _D.RUNNING)),
        # Destination.
        ((_R.IN_MIGRATE, _R.RESTORE_VM), (_M.ACTIVE,), (_D.STOPPED, _D.RUNNING, _D.RESUMING)),
        ((_R.IN_MIGRATE, _R.RESTORE_VM), (_M.FAILED,), (_D.STOPPED, _D.RUNNING, _D.RESUMING)),
        ((_R.IN_MIGRATE, _R.RESTORE_VM, _R.PAUSED), (_M.NONE, _M.COMPLETED), (_D.RESUMING, _D.STOPPED)),
        ((_R.RUNNING,), (_M.NONE, _M.COMPLETED), (_D.RESUMING, _D.RUNNING)),
    ]
    return frozenset(
        Triple(vm, status, int(device))
        for vms, statuses, devices in lines
        for vm in vms
        for status in statuses
        for device in devices
    )


TRIPLES = _chart()


def check_triple(name: str, vm: RunState, status: MigrationStatus, device_state: int) -> None:
    """Raise StateError unless the three states may be met together."""
    device = device_state & VFIO_DEVICE_STATE_MASK
    if Triple(vm, status, device) in TRIPLES:
        return
    legal = [state_name(t.device) for t in TRIPLES if t.vm is vm and t.migration is status]
    raise StateError(
        f"go on with {name} while the VM is {vm.value} and the migration {status.name}",
        state_name(device),
        legal or ("no device state",),
        rule="the charts of the cover letter (v5 spec 3.4, 3.5)",
    )
