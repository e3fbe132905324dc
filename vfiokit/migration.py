"""A whole migration: from one set of devices to another, into a file, or out of one.

    with vfiokit.open("emulated:v5?state=64M&dirty=40M/s") as a, vfiokit.open("emulated:v5?state=64M") as b:
        report = vfiokit.migrate(a, b, memory=256 << 20)

The source's VM runs, its devices work; pre-copy, stop-and-copy, the destination resumes; then what
arrived is compared with what left, and the destination's guest runs.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vfiokit.accesses import Enter, Sample, Say
from vfiokit.clock import Clock, RealClock
from vfiokit.device.base import Device
from vfiokit.errors import MigrationCancelledError, MigrationError, MigrationFailedError, VerifyError
from vfiokit.protocol.v5.quirks import INTERFACE, Profile
from vfiokit.protocol.v5.states import MigrationStatus
from vfiokit.recording import Record, recording_to
from vfiokit.runner import Task, run, run_together
from vfiokit.side import Hugepages, Side
from vfiokit.streams import FileSink, FileSource, Pipe, Tee
from vfiokit.trace import Tracer, load
from vfiokit.vmm.incoming import Incoming, migrate_in
from vfiokit.vmm.outgoing import Outgoing, Parameters, migrate_out
from vfiokit.vmm.snapshot import state_digest

__all__ = (
    "Control",
    "DeviceCheck",
    "Report",
    "clock_of",
    "describe",
    "load_file",
    "migrate",
    "save_file",
    "tracer_for",
)

_BATCH = 256  # accesses between two looks

Listener = Callable[[Sample | Say | Enter], None]


class Control:
    """How somebody outside asks a migration to stop; may be called in a signal handler."""

    def __init__(self) -> None:
        self.cancelled = False

    def cancel(self) -> None:
        """Cancel at the next access."""
        self.cancelled = True


@dataclass
class DeviceCheck:
    """One device's comparison: SHA-256 and size of its state at both ends."""

    source: str
    destination: str
    digest: str
    size: int
    equal: bool


@dataclass
class Report:
    """What came of a migration; times in ns, sizes in bytes."""

    outgoing: Outgoing | None = None
    incoming: Incoming | None = None
    downtime_ns: int = 0
    memory: int = 0
    pages_differ: int | None = None
    devices: list[DeviceCheck] = field(default_factory=list)
    messages: list[str] = field(default_factory=list)
    simulated: bool = False

    @property
    def verified(self) -> bool | None:
        """Memory and devices are equal; None when nobody looked."""
        if self.pages_differ is None and not self.devices:
            return None
        return not self.pages_differ and all(check.equal for check in self.devices)

    def to_dict(self) -> dict[str, Any]:
        """Return the figures as JSON can have them."""
        out = self.outgoing
        return {
            "total_ns": out.total_ns if out else None,
            "downtime_ns": self.downtime_ns,
            "setup_ns": out.setup_ns if out else None,
            "transferred_bytes": out.transferred if out else None,
            "loaded_bytes": self.incoming.position if self.incoming else None,
            "turns": out.turns if out else None,
            "dirty_syncs": out.syncs if out else None,
            "bandwidth_bytes_per_s": out.bandwidth if out else None,
            "threshold_bytes": out.threshold if out else None,
            "pending_at_stop_bytes": out.pending_at_stop if out else None,
            "memory_bytes": self.memory,
            "memory_pages_differ": self.pages_differ,
            "verified": self.verified,
            "simulated_time": self.simulated,
            "devices": [vars(check) for check in self.devices],
            "messages": self.messages,
        }


def describe(
    sources: Sequence[Device],
    destinations: Sequence[Device],
    memory: int,
    parameters: Parameters,
    profile: Profile,
) -> dict[str, str]:
    """Return what a replay needs to make the same flows, as text: the metadata of a recording.

    Sizes in bytes, times in ns; a device that is not PCI has a "!" after its name.
    """

    def named(devices: Sequence[Device]) -> str:
        return ",".join(f"{device.name}{'' if device.info().is_pci else '!'}" for device in devices)

    return {
        "source": named(sources),
        "source_addresses": " ".join(device.address for device in sources),
        "destination": named(destinations),
        "destination_addresses": " ".join(device.address for device in destinations),
        "memory": str(memory),
        "profile": profile.name,
        "quirks": ",".join(sorted(profile.quirks)),
        "downtime_limit_ns": str(parameters.downtime_limit_ns),
        "bandwidth": str(parameters.bandwidth or ""),
        "precopy_limit_ns": str(parameters.precopy_limit_ns),
    }


def tracer_for(clock: Clock, patterns: Sequence[str] = ("*",)) -> Tracer:
    """Return a tracer of the v5 events on *clock*: Unix time when it is the machine's."""
    stamp = time.time_ns if isinstance(clock, RealClock) else clock.now
    return Tracer(load("v5"), patterns, clock=stamp)


def clock_of(devices: Sequence[Device]) -> Clock:
    """Return the clock that emulated devices share, or the machine's."""
    for device in devices:
        clock: Clock | None = getattr(device, "clock", None)
        if clock is not None:
            return clock
    return RealClock()


def _many(devices: Device | Sequence[Device]) -> Sequence[Device]:
    return devices if isinstance(devices, Sequence) else (devices,)


class _Journal:
    """Keeps messages, and passes everything on."""

    def __init__(self, report: Report, listener: Listener | None) -> None:
        self.report = report
        self.listener = listener

    def __call__(self, access: Sample | Say | Enter) -> None:
        if isinstance(access, Say):
            self.report.messages.append(access.text)
        if self.listener is not None:
            self.listener(access)


def migrate(
    source: Device | Sequence[Device],
    destination: Device | Sequence[Device],
    *,
    memory: int = 64 << 20,
    parameters: Parameters | None = None,
    profile: Profile = INTERFACE,
    tracer: Tracer | None = None,
    destination_tracer: Tracer | None = None,
    save: Path | str | None = None,
    hugepages: Hugepages | None = None,
    verify: bool = True,
    control: Control | None = None,
    listener: Listener | None = None,
    between: Callable[[Report], None] | None = None,
    record: Record = None,
) -> Report:
    """Live-migrate *source* to *destination*.

    :param memory: guest memory, bytes
    :param save: keep a copy of the stream in this file
    :param verify: compare memory and device state before the destination's guest runs
    :param listener: is shown every Sample, Say and Enter of the source, as they happen
    :param between: called now and then from the loop
    :param record: a folder to be made, or a `Recording`, that what happens is recorded in
    :raises MigrationBlockedError: a device cannot be migrated
    :raises MigrationFailedError: the source runs on
    :raises MigrationCancelledError: alike
    :raises VerifyError: what arrived is not what left
    """
    sources, destinations = _many(source), _many(destination)
    clock = clock_of([*sources, *destinations])
    report = Report(memory=memory, simulated=not isinstance(clock, RealClock))
    journal = _Journal(report, listener)
    pipe = Pipe()
    kept = FileSink(save) if save is not None else None
    common: dict[str, Any] = {
        "memory": memory,
        "clock": clock,
        "profile": profile,
        "hugepages": hugepages,
        "simulated": report.simulated,
        "link": (parameters.bandwidth if parameters else None),
    }
    sink = Tee(pipe, kept) if kept else pipe
    told = describe(sources, destinations, memory, parameters or Parameters(), profile)
    try:
        with (
            recording_to(record, told, clock.now) as recording,
            Side(sources, tracer=tracer, sink=sink, listener=journal, recording=recording, **common) as here,
            Side(
                destinations,
                tracer=destination_tracer,
                source=pipe,
                recording=recording,
                name="destination",
                **common,
            ) as there,
        ):
            here.plug()
            there.plug()
            here.fill()
            here.run(here.vm.start())
            _both(here, there, pipe, report, parameters, control, between)
            loaded = clock.now()
            if verify:
                _verify(here, there, report)
            began = clock.now()
            there.run(there.vm.start())
            out = report.outgoing
            report.downtime_ns = (loaded - out.stopped_ns if out else 0) + clock.now() - began
            there.run(there.vm.unplug_all())
            here.run(here.vm.unplug_all())
    finally:
        if kept is not None:
            kept.close()
    return report


def _both(
    here: Side,
    there: Side,
    pipe: Pipe,
    report: Report,
    parameters: Parameters | None,
    control: Control | None,
    between: Callable[[Report], None] | None,
) -> None:
    report.incoming = Incoming()
    outgoing = here.task(migrate_out(here.vm, parameters, transferred=lambda: here.host.transferred))
    incoming = there.task(migrate_in(there.vm, report.incoming))

    def look() -> None:
        _look(outgoing, report, control, between)

    try:
        run_together(outgoing, incoming, backlog=lambda: pipe.backlog, between=look, done=pipe.close)
    except BaseException:
        pipe.close()
        _end(outgoing, incoming)
        if here.vm.status is MigrationStatus.COMPLETED:
            # The source was done before the destination failed: its guest is continued, as by hand.
            here.run(here.vm.start())
        raise
    report.outgoing = outgoing.result


def _look(
    task: Task[Any], report: Report, control: Control | None, between: Callable[[Report], None] | None
) -> None:
    """Between accesses: carry out a cancel that was asked for, and call whoever watches."""
    if control is not None and control.cancelled and not task.done:
        control.cancelled = False
        task.throw(MigrationCancelledError("cancelled by the user"))
    if between is not None:
        between(report)


def _drive(
    task: Task[Any], report: Report, control: Control | None, between: Callable[[Report], None] | None
) -> None:
    """Step one end to its end, looking up every now and then."""
    while not task.done:
        _look(task, report, control, between)
        for _ in range(_BATCH):
            task.step()


def _end(outgoing: Task[Outgoing], incoming: Task[Incoming]) -> None:
    """One side ended badly: let the other take its own way out before the error goes on."""
    with suppress(MigrationError):
        if not outgoing.done:
            outgoing.throw(MigrationFailedError("the destination failed"))
            outgoing.run()
    with suppress(MigrationError):
        incoming.run()


def _verify(here: Side, there: Side, report: Report) -> None:
    """Compare memory and every device's state; VerifyError names what differs."""
    if here.memory is not None and there.memory is not None:
        report.pages_differ = here.memory.differences(there.memory)
    for mine, theirs in zip(here.vm.devices, there.vm.devices, strict=True):
        ends = []
        for side, device in ((here, mine), (there, theirs)):
            # Looking is not part of what happened: neither traced nor recorded.
            tracer, side.host.tracer = side.host.tracer, None
            try:
                ends.append(run(state_digest(device), side.host))
            finally:
                side.host.tracer = tracer
        (left, size), (right, other_size) = ends
        equal = (left, size) == (right, other_size)
        report.devices.append(DeviceCheck(mine.name, theirs.name, left, size, equal))
    if report.verified is False:
        raise VerifyError(
            f"the destination differs: {report.pages_differ or 0} pages of memory, "
            + (", ".join(check.destination for check in report.devices if not check.equal) or "no device"),
            rule="after a migration device state and memory equal the source's",
            hint="does the driver report every page it writes, and save all of its state?",
        )


def save_file(
    source: Device | Sequence[Device],
    path: Path | str,
    *,
    memory: int = 64 << 20,
    parameters: Parameters | None = None,
    profile: Profile = INTERFACE,
    tracer: Tracer | None = None,
    hugepages: Hugepages | None = None,
    control: Control | None = None,
    listener: Listener | None = None,
    between: Callable[[Report], None] | None = None,
    record: Record = None,
) -> Report:
    """Migrate *source* into a file. What was put stays there, whatever happens; raises as `migrate`."""
    sources = _many(source)
    clock = clock_of(sources)
    report = Report(memory=memory, simulated=not isinstance(clock, RealClock))
    sink = FileSink(path)
    told = describe(sources, (), memory, parameters or Parameters(), profile)
    try:
        with (
            recording_to(record, told, clock.now) as recording,
            Side(
                sources,
                memory=memory,
                clock=clock,
                tracer=tracer,
                profile=profile,
                hugepages=hugepages,
                sink=sink,
                simulated=report.simulated,
                link=parameters.bandwidth if parameters else None,
                listener=_Journal(report, listener),
                recording=recording,
            ) as here,
        ):
            here.plug()
            here.fill()
            here.run(here.vm.start())
            task = here.task(migrate_out(here.vm, parameters, transferred=lambda: here.host.transferred))
            _drive(task, report, control, between)
            report.outgoing = task.result
            here.run(here.vm.unplug_all())
    finally:
        sink.close()
    return report


def load_file(
    path: Path | str,
    destination: Device | Sequence[Device],
    *,
    memory: int = 64 << 20,
    profile: Profile = INTERFACE,
    tracer: Tracer | None = None,
    hugepages: Hugepages | None = None,
    listener: Listener | None = None,
    between: Callable[[Report], None] | None = None,
    record: Record = None,
) -> Report:
    """Resume *destination* from a file that `save_file` wrote, and let its guest run; raises as `migrate`."""
    destinations = _many(destination)
    clock = clock_of(destinations)
    report = Report(memory=memory, incoming=Incoming(), simulated=not isinstance(clock, RealClock))
    stream = FileSource(path)
    told = describe((), destinations, memory, Parameters(), profile)
    with (
        recording_to(record, told, clock.now) as recording,
        Side(
            destinations,
            memory=memory,
            clock=clock,
            tracer=tracer,
            profile=profile,
            hugepages=hugepages,
            source=stream,
            simulated=report.simulated,
            listener=_Journal(report, listener),
            recording=recording,
            name="destination",
        ) as there,
    ):
        there.plug()
        task = there.task(migrate_in(there.vm, report.incoming))
        _drive(task, report, None, between)
        there.run(there.vm.start())
        there.run(there.vm.unplug_all())
    return report
