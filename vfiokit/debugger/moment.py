"""The state of a session at one moment: what a display shows, and what a rewind brings back.

A moment is folded from *facts*, one an access: what it was and what came of it, without bulk data. A live
session keeps its facts, so any earlier moment can be folded again.
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from vfiokit import accesses as a
from vfiokit.errors import VfioError
from vfiokit.uapi.vfio import VFIO_PCI_CONFIG_REGION_INDEX

__all__ = ("DeviceMoment", "Fact", "Moment", "SideMoment", "fact_of")

SPARK = 64  # pending_bytes that are kept for the sparkline


class Fact(NamedTuple):
    """One access, and what came of it; *value* and *size* are 0 where they mean nothing."""

    side: str
    kind: str  # the access's class
    device: str  # or "vm", "migration", a RAM block
    name: str  # the register, the stream's item, the event, the state
    value: int
    size: int  # bytes, or pages of a MarkDirty
    error: str
    time_ns: int
    text: str
    sample: a.Sample | None = None


def fact_of(side: str, access: a.Access, result: Any, error: VfioError | None, time_ns: int) -> Fact:
    """Return the fact of an access that was performed."""
    device = getattr(access, "device", getattr(access, "block", ""))
    name, value, size = getattr(access, "field", ""), 0, getattr(access, "size", 0)
    match access:
        case a.Read():
            value = result if isinstance(result, int) else 0
        case a.Write():
            value = access.value
        case a.WriteData() | a.Put():
            size = len(access.data)
        case a.MarkDirty():
            size = marked_pages(access) if error is None else 0
        case a.Emit():
            device, name = str(access.args[0]), access.event
        case a.Enter():
            device, name = access.machine, access.state
        case a.Say():
            name = access.text
    if isinstance(access, (a.Put, a.Take)):
        name = access.what
    elif isinstance(access, a.ReadData) and access.region == VFIO_PCI_CONFIG_REGION_INDEX:
        name = "config space"
    sample = access if isinstance(access, a.Sample) else None
    came = error.message.partition(": ")[2] if error is not None else ""
    return Fact(side, type(access).__name__, device, name, value, size, came, time_ns, str(access), sample)


@dataclass
class DeviceMoment:
    """One device: the migration region's registers as they were last seen, and its pending bytes' history."""

    registers: dict[str, int] = field(default_factory=dict)
    changed: str = ""  # the register that changed last
    state: int = 0  # the last device_state that was written and accepted
    pending: list[int] = field(default_factory=list)
    chunks: int = 0
    data: int = 0  # bytes of the data section moved


@dataclass
class SideMoment:
    """One side: VM, migration, stream, RAM, devices."""

    vm: str = "prelaunch"
    migration: str = "none"
    stream: int = 0  # bytes put or taken
    marked: int = 0  # pages that devices reported dirty, over all
    accesses: int = 0
    sample: a.Sample | None = None
    devices: dict[str, DeviceMoment] = field(default_factory=dict)

    def device(self, name: str) -> DeviceMoment:
        """Return the device's part, made when it is first met."""
        return self.devices.setdefault(name, DeviceMoment())


@dataclass
class Moment:
    """Everything, after *count* accesses of both sides."""

    count: int = 0
    time_ns: int = 0
    sides: dict[str, SideMoment] = field(default_factory=dict)

    def side(self, name: str) -> SideMoment:
        """Return a side's part, made when it is first met."""
        return self.sides.setdefault(name, SideMoment())

    def copy(self) -> Moment:
        """Return a copy that later accesses do not change."""
        return deepcopy(self)

    def apply(self, fact: Fact) -> None:
        """Fold one access and what came of it into the moment."""
        side = self.side(fact.side)
        self.count += 1
        self.time_ns = fact.time_ns
        side.accesses += 1
        if fact.error:
            return
        match fact.kind:
            case "Read" | "Write":
                self._register(side, fact.device, fact.name, fact.value)
                if fact.name == "pending_bytes":
                    pending = side.device(fact.device).pending
                    pending.append(fact.value)
                    del pending[:-SPARK]
                elif fact.name == "device_state" and fact.kind == "Write":
                    side.device(fact.device).state = fact.value
            case "ReadData" | "WriteData" if fact.name != "config space":
                side.device(fact.device).chunks += 1
                side.device(fact.device).data += fact.size
            case "Put" | "Take":
                side.stream += fact.size
            case "MarkDirty":
                side.marked += fact.size
            case "Enter" if fact.device == "vm":
                side.vm = fact.name
            case "Enter" if fact.device == "migration":
                side.migration = fact.name
            case "Sample":
                side.sample = fact.sample

    def _register(self, side: SideMoment, name: str, register: str, value: int) -> None:
        device = side.device(name)
        device.registers[register] = value
        device.changed = register

    def names(self, side_name: str, access: a.Access | None, result: Any = None) -> Mapping[str, int]:
        """Return what a condition may name: the access's device's registers, and the loop's figures."""
        side = self.side(side_name)
        names: dict[str, int] = {"stream": side.stream, "time": self.time_ns, "count": self.count}
        device = getattr(access, "device", None)
        known = side.devices.get(device) if device else next(iter(side.devices.values()), None)
        if known is not None:
            names.update(known.registers)
        if side.sample is not None:
            sample = side.sample
            names.update(
                turn=sample.turn,
                pending=sample.total,
                threshold=sample.threshold,
                transferred=sample.transferred,
                dirty_pages=sample.dirty_pages,
            )
        value = getattr(access, "value", result if isinstance(result, int) else None)
        if isinstance(value, int):
            names["value"] = value
        size = getattr(access, "size", None)
        if isinstance(size, int):
            names["size"] = size
        return names


def marked_pages(access: a.MarkDirty) -> int:
    """Return how many pages a MarkDirty marks."""
    if access.bitmap is None:
        return access.pages
    bits = int.from_bytes(access.bitmap, "little") & ((1 << access.pages) - 1)
    return bits.bit_count()
