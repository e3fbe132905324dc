"""A snapshot of a VM's devices ("savevm", v5 spec 3.4), and a look at one device's state.

A snapshot is a stream like a migration's, without RAM's rounds: the guest is stopped first, all is saved,
the guest goes on.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable

from vfiokit.accesses import Buffer, Flow
from vfiokit.errors import VfioError
from vfiokit.protocol.v5 import region
from vfiokit.protocol.v5.device import MigratingDevice
from vfiokit.protocol.v5.states import MigrationStatus, set_state
from vfiokit.uapi.migration_v5 import VFIO_DEVICE_STATE_MASK, DeviceState
from vfiokit.vmm import sections
from vfiokit.vmm.outgoing import section
from vfiokit.vmm.sections import SectionHead
from vfiokit.vmm.states import RunState
from vfiokit.vmm.vm import Vm

__all__ = ("save_snapshot", "state_digest")


def save_snapshot(vm: Vm) -> Flow[None]:
    """Stop the guest, put all of its state into the stream, let it go on.

    The guest goes on after a failure, too; the failure is thrown.
    """
    vm.check_migratable()
    was_running = vm.run_state.runs
    try:
        yield from vm.stop(RunState.SAVE_VM)
        yield from _put_all(vm)
    except VfioError:
        yield from vm.enter(MigrationStatus.FAILED)
        yield from _go_on(vm, was_running)
        raise
    yield from vm.enter(MigrationStatus.COMPLETED)
    yield from _go_on(vm, was_running)


def _put_all(vm: Vm) -> Flow[None]:
    yield from vm.enter(MigrationStatus.SETUP)
    yield sections.put_stream_head()
    numbered = list(enumerate(vm.handlers, start=1))
    for number, handler in numbered:
        head = SectionHead(sections.SECTION_START, number, handler.idstr, 0, handler.version)
        yield from section(head, handler.save_setup())
    yield from vm.enter(MigrationStatus.ACTIVE)
    for number, handler in numbered:
        done = False
        while not done:
            done = yield from section(SectionHead(sections.SECTION_PART, number), handler.save_iterate())
    for number, handler in numbered:
        yield from section(SectionHead(sections.SECTION_END, number), handler.save_complete())
    yield sections.put_eof()


def _go_on(vm: Vm, was_running: bool) -> Flow[None]:
    for handler in vm.handlers:
        yield from handler.save_cleanup()
    if was_running:
        yield from vm.start()


def state_digest(device: MigratingDevice) -> Flow[tuple[str, int]]:
    """Read a stopped device's whole state once more; return its SHA-256 and size, bytes.

    The device ends stopped. Chunks are opaque: two digests are equal only if both drivers cut alike.
    """
    digest, size = hashlib.sha256(), 0
    yield from region.map_areas(device)
    if device.device_state & VFIO_DEVICE_STATE_MASK != DeviceState.STOPPED:
        yield from set_state(device, DeviceState.STOPPED)
    yield from set_state(device, DeviceState.SAVING)
    while (yield device.reads["pending_bytes"]):
        length = yield from _digest_chunk(device, digest.update)
        if not length:
            break
        size += length
    yield from set_state(device, DeviceState.STOPPED)
    yield from region.unmap_areas(device)
    return digest.hexdigest(), size


def _digest_chunk(device: MigratingDevice, update: Callable[[Buffer], None]) -> Flow[int]:
    # A flow of its own: the window on the chunk must be gone before its area is unmapped.
    offset: int = yield device.reads["data_offset"]
    length: int = yield device.reads["data_size"]
    if length:
        device.check_place(offset, length, "a chunk")
        update((yield device.read_data(offset, length)))
    return length
