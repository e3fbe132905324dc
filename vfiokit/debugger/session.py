"""A session: devices, VMs and hosts put together, with the whole life of a migration to be stepped.

Both flows begin with plugging the devices in, so that the probe can be stepped, and end with taking them
out again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from vfiokit.accesses import Flow
from vfiokit.clock import RealClock
from vfiokit.debugger.debugger import DESTINATION, SOURCE, Debugger
from vfiokit.debugger.ends import End
from vfiokit.device.base import Device
from vfiokit.emulated import EmulatedDevice, FaultyDevice
from vfiokit.migration import clock_of, describe, tracer_for
from vfiokit.protocol.v5.quirks import INTERFACE, Profile
from vfiokit.recording import Recorder, Recording, gathered
from vfiokit.runner import Performer
from vfiokit.side import Hugepages, Side
from vfiokit.streams import Pipe
from vfiokit.trace import Tracer
from vfiokit.vmm.incoming import Incoming, migrate_in
from vfiokit.vmm.outgoing import Outgoing, Parameters, migrate_out
from vfiokit.vmm.vm import Vm

__all__ = ("debug", "destination_flow", "source_flow")

Plugs = Sequence[tuple[str, bool]]  # each device's name, and whether it is PCI


def source_flow(
    vm: Vm, plugs: Plugs, parameters: Parameters | None, transferred: Callable[[], int]
) -> Flow[Outgoing]:
    """Plug the devices in, start the guest, migrate it, take the devices out."""
    for name, pci in plugs:
        yield from vm.plug(name, pci=pci)
    yield from vm.start()
    outgoing = yield from migrate_out(vm, parameters, transferred=transferred)
    yield from vm.unplug_all()
    return outgoing


def destination_flow(vm: Vm, plugs: Plugs) -> Flow[Incoming]:
    """Plug the devices in, load the stream, start the guest, take the devices out."""
    for name, pci in plugs:
        yield from vm.plug(name, pci=pci)
    incoming = yield from migrate_in(vm)
    yield from vm.start()
    yield from vm.unplug_all()
    return incoming


def debug(
    source: Device | Sequence[Device],
    destination: Device | Sequence[Device] | None = None,
    *,
    memory: int = 16 << 20,
    parameters: Parameters | None = None,
    profile: Profile = INTERFACE,
    hugepages: Hugepages | None = None,
    record: Path | str | None = None,
    with_data: bool = False,
) -> Debugger:
    """Return a debugger that stands before the first access of a migration of *source*.

    :param destination: where to; without one the stream is put and forgotten
    :param memory: guest memory, bytes
    :param record: write the recording to this folder while it grows; it is kept in memory otherwise
    :param with_data: keep bulk device data in the recording, too

    The devices stay open when the debugger is closed: they are the caller's.
    """
    sources = _faulty(source if isinstance(source, Sequence) else (source,))
    others: Sequence[Device] | None = None
    if destination is not None:
        others = _faulty(destination if isinstance(destination, Sequence) else (destination,))
    clock = clock_of([*sources, *(others or ())])
    began = clock.now()
    simulated = not isinstance(clock, RealClock)
    limits = parameters or Parameters()
    pipe = Pipe() if others is not None else _Sink()
    told = describe(sources, others or (), memory, limits, profile)
    recording = gathered(Recording(record, with_data=with_data, metadata=told))
    ends: dict[str, End] = {}
    with ExitStack() as undo:
        undo.callback(recording.close)

        def end(name: str, devices: Sequence[Device]) -> End:
            tracer: Tracer = tracer_for(clock)
            side = undo.enter_context(
                Side(
                    devices,
                    memory=memory,
                    clock=clock,
                    tracer=tracer,
                    profile=profile,
                    hugepages=hugepages,
                    sink=pipe,
                    source=pipe if isinstance(pipe, Pipe) else None,
                    simulated=simulated,
                    link=limits.bandwidth,
                )
            )
            plugs = [(device.name, device.info().is_pci) for device in devices]

            def flow(transferred: Callable[[], int]) -> Flow[Any]:
                if name == SOURCE:
                    return source_flow(side.vm, plugs, limits, transferred)
                return destination_flow(side.vm, plugs)

            def wrap(performer: Performer) -> Performer:
                return Recorder(performer, recording, name, clock, side.sections)

            if name == SOURCE:
                side.fill()
            return End(
                name,
                flow,
                side.host,
                wrap=wrap,
                now=lambda: clock.now() - began,
                failed=lambda error: recording.fail(name, error, clock.now()),
            )

        ends[SOURCE] = end(SOURCE, sources)
        if others is not None:
            ends[DESTINATION] = end(DESTINATION, others)
        return Debugger(
            ends,
            pipe=pipe if isinstance(pipe, Pipe) else None,
            recording=recording,
            faulty={
                (side, device.name): device
                for side, devices in ((SOURCE, sources), (DESTINATION, others or ()))
                for device in devices
                if isinstance(device, FaultyDevice)
            },
            close=undo.pop_all().close,
        )


def _faulty(devices: Sequence[Device]) -> list[Device]:
    """Return the devices, the emulated ones so that faults can be switched while they are stepped."""
    return [FaultyDevice(device, ()) if isinstance(device, EmulatedDevice) else device for device in devices]


class _Sink:
    """A stream that nobody reads."""

    def __init__(self) -> None:
        self.position = 0

    def write(self, data: Any) -> None:
        self.position += len(data)
