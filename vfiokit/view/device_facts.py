"""What a recording tells of the devices of one side, as far as it is there: regions, registers, config.

::

    facts = SideFacts(recording, "source")
    facts.update()                   # reads on; a live recording grows
    device = facts.device(None)      # the first with a migration region
    device.registers["data_size"].value, device.regions[9].areas, device.config

Nothing is asked of a device. A register is known from its last read or write that came back well.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from vfiokit.errors import AddressError
from vfiokit.recording.replay import info_of
from vfiokit.uapi.info import Info, Region
from vfiokit.uapi.migration_v5 import (
    REGISTERS,
    VFIO_REGION_SUBTYPE_MIGRATION,
    VFIO_REGION_TYPE_MIGRATION,
    state_name,
)
from vfiokit.uapi.vfio import VFIO_PCI_CONFIG_REGION_INDEX, VFIO_REGION_TYPE_MIGRATION_DEPRECATED
from vfiokit.view.theme import people_bytes

if TYPE_CHECKING:
    from vfiokit.recording import Recording

__all__ = ("DeviceFacts", "Known", "SideFacts", "meaning", "words")

# v5 spec 1.1: the type's number clashed and moved; a driver of the time may give either.
_MIGRATION_TYPES = {
    (VFIO_REGION_TYPE_MIGRATION, VFIO_REGION_SUBTYPE_MIGRATION),
    (VFIO_REGION_TYPE_MIGRATION_DEPRECATED, VFIO_REGION_SUBTYPE_MIGRATION),
}
_KINDS = ("Query", "Read", "Write", "ReadData", "WriteData", "Map", "Unmap", "MarkDirty", "Reset")
_COLUMNS = (
    "seq", "time_ns", "kind", "device", "region", "offset", "size", "what", "area", "value", "info", "error",
    "message",
)  # fmt: skip
_LAST = 12  # accesses that are kept in words


class Known(NamedTuple):
    """What a register was last seen to hold."""

    value: int
    before: int | None  # the value before it, None the first time
    seq: int
    time_ns: int
    written: bool

    @property
    def changed(self) -> bool:
        """It was another value before."""
        return self.before is not None and self.before != self.value


@dataclass(slots=True)
class DeviceFacts:
    """One device. *config* has what was read, with what was written since; None if nothing was."""

    name: str
    info: Info | None = None
    regions: dict[int, Region] = field(default_factory=dict)
    mapped: set[tuple[int, int]] = field(default_factory=set)  # (region, area)
    registers: dict[str, Known] = field(default_factory=dict)
    config: bytearray | None = None
    last: deque[tuple[int, int, str]] = field(default_factory=lambda: deque(maxlen=_LAST))
    last_register: str | None = None

    @property
    def migration(self) -> Region | None:
        """The migration region, found by its type."""
        return next((r for r in self.regions.values() if r.type in _MIGRATION_TYPES), None)

    @property
    def is_pci(self) -> bool:
        """Region 7 is config space; of a device that was not asked, it is taken to be."""
        return self.info is None or self.info.is_pci

    @property
    def window(self) -> tuple[int, int] | None:
        """The chunk last staged: data_offset and data_size; None before the first."""
        offset, size = self.registers.get("data_offset"), self.registers.get("data_size")
        return None if offset is None or size is None else (offset.value, size.value)


class SideFacts:
    """The devices of one side of a recording."""

    def __init__(self, recording: Recording, side: str) -> None:
        self.recording, self.side = recording, side
        self.devices: dict[str, DeviceFacts] = {}
        self._seen = 0

    def device(self, name: str | None) -> DeviceFacts | None:
        """Return a device by name; None for the first with a migration region, or else the first.

        None is returned while there is none yet.

        :raises AddressError: others are there, but not this one
        """
        if name is not None:
            if name not in self.devices and self.devices:
                have = ", ".join(map(repr, self.devices))
                raise AddressError(f"no device {name!r} on the {self.side}", hint=f"recorded: {have}")
            return self.devices.get(name)
        able = (facts for facts in self.devices.values() if facts.migration is not None)
        return next(able, next(iter(self.devices.values()), None))

    def update(self) -> bool:
        """Read on; return whether anything came."""
        came = False
        for row in self._new_rows():
            came = True
            if row["device"] is not None:
                facts = self.devices.setdefault(row["device"], DeviceFacts(row["device"]))
                facts.last.append((row["seq"], row["time_ns"], words(row)))
                facts.last_register = None
                if row["error"] is None:
                    _learn(facts, row)
        return came

    def _new_rows(self) -> Iterator[dict[str, Any]]:
        import pyarrow as pa
        import pyarrow.compute as pc

        table = self.recording.accesses.to_arrow()
        rows = table.slice(self._seen)
        self._seen = len(table)
        if not len(rows):
            return
        kinds = pc.is_in(rows["kind"].cast(pa.string()), pa.array(_KINDS))
        rows = rows.filter(pc.and_(kinds, pc.equal(rows["side"].cast(pa.string()), self.side)))
        # Data is looked at of config space alone: a migration moves much of it.
        config = pc.fill_null(pc.equal(rows["region"], VFIO_PCI_CONFIG_REGION_INDEX), False)
        data = pc.if_else(config, rows["data"], pa.scalar(None, rows["data"].type))
        for row, octets in zip(rows.select(_COLUMNS).to_pylist(), data.to_pylist(), strict=True):
            yield {**row, "data": octets}


def _learn(facts: DeviceFacts, row: dict[str, Any]) -> None:
    kind, region = row["kind"], row["region"]
    if kind == "Query" and row["info"] is not None:
        found = info_of(row["info"])
        if isinstance(found, Region):
            facts.regions[found.index] = found
        elif isinstance(found, Info):
            facts.info = found
    elif kind == "Map":
        facts.mapped.add((region, row["area"]))
    elif kind == "Unmap":
        facts.mapped.discard((region, row["area"]))
    elif region == VFIO_PCI_CONFIG_REGION_INDEX and facts.is_pci:
        _learn_config(facts, row)
    elif kind in ("Read", "Write") and row["what"] in REGISTERS and _is_migration(facts, region):
        old = facts.registers.get(row["what"])
        before = old.value if old else None
        facts.registers[row["what"]] = Known(
            row["value"], before, row["seq"], row["time_ns"], kind == "Write"
        )
        facts.last_register = row["what"]


def _is_migration(facts: DeviceFacts, region: int) -> bool:
    return facts.migration is not None and region == facts.migration.index


def _learn_config(facts: DeviceFacts, row: dict[str, Any]) -> None:
    offset, size, data = row["offset"], row["size"], row["data"]
    if row["kind"] in ("Read", "Write"):
        data = (row["value"] & ((1 << 8 * size) - 1)).to_bytes(size, "little")
    if data is None or offset + len(data) > 4096:
        return
    image = facts.config if facts.config is not None else bytearray()
    image.extend(bytes(max(0, offset + len(data) - len(image))))
    image[offset : offset + len(data)] = data
    facts.config = image


def meaning(register: str, value: int) -> str:
    """Return a register's value as people read it, v5 spec 1.2; empty where the number says all."""
    if register == "device_state":
        return state_name(value)
    if register in ("pending_bytes", "data_offset", "data_size", "page_size"):
        return people_bytes(value)
    if register in ("copied_pfns", "total_pfns"):
        return "all of them" if value == (1 << 64) - 1 else f"{value:,} pages"
    return ""


def words(row: dict[str, Any]) -> str:
    """Return an access and what came of it in words; the text is a device's, escape it."""
    kind, offset, size = row["kind"], row["offset"], row["size"]
    how = "trapped" if row["area"] is None else f"mapped area {row['area']}"
    match kind:
        case "Read" | "Write":
            more = meaning(row["what"], row["value"] or 0)
            value = f" = {row['value'] or 0:#x}" + (f" ({more})" if more else "")
            verb = "read" if kind == "Read" else "wrote"
            text = f"{verb} {row['what']}{value if kind == 'Write' or row['error'] is None else ''}"
        case "ReadData" | "WriteData":
            verb = "read" if kind == "ReadData" else "wrote"
            text = f"{verb} {people_bytes(size)} of region {row['region']} at {offset:#x}, {how}"
        case "Map" | "Unmap":
            verb = "mapped" if kind == "Map" else "unmapped"
            text = f"{verb} area {row['area']} of region {row['region']} at {offset:#x}"
        case "Query":
            text = "asked for " + ("device info" if row["region"] is None else f"region {row['region']}")
        case "MarkDirty":
            text = f"marked dirty in {people_bytes(size)} of guest memory at {offset:#x}"
        case _:
            text = "reset"
    return text if row["error"] is None else f"{text}: failed, {row['message']}"
