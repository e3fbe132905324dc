"""What a recording tells of the devices of one side, as far as it is there: regions, registers, config.

::

    facts = SideFacts(recording, "source")
    facts.update()                   # reads on; a live recording grows
    device = facts.device(None)      # the first with a migration region, as it is now
    device.registers["data_size"].value, device.regions[9].areas, device.config
    facts.device(None, at=400)       # as it was after the access 400

Nothing is asked of a device. A register is known from its last read or write that came back well.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import chain
from typing import TYPE_CHECKING, Any, NamedTuple

from vfiokit.errors import AddressError
from vfiokit.uapi.info import Info, Region
from vfiokit.uapi.migration_v5 import (
    REGISTERS,
    VFIO_REGION_SUBTYPE_MIGRATION,
    VFIO_REGION_TYPE_MIGRATION,
    state_name,
)
from vfiokit.uapi.pci_config import ConfigSpace, decode
from vfiokit.uapi.vfio import VFIO_REGION_TYPE_MIGRATION_DEPRECATED
from vfiokit.view.access_index import AccessIndex, DeviceIndex
from vfiokit.view.picture import row_until
from vfiokit.view.theme import people_bytes

if TYPE_CHECKING:
    from vfiokit.recording import Recording

__all__ = ("DeviceFacts", "Known", "SideFacts", "Told", "decoded", "meaning", "words")

# v5 spec 1.1: the type's number clashed and moved; a driver of the time may give either.
_MIGRATION_TYPES = {
    (VFIO_REGION_TYPE_MIGRATION, VFIO_REGION_SUBTYPE_MIGRATION),
    (VFIO_REGION_TYPE_MIGRATION_DEPRECATED, VFIO_REGION_SUBTYPE_MIGRATION),
}
_COLUMNS = (
    "seq", "time_ns", "kind", "device", "region", "offset", "size", "what", "area", "value", "error",
    "message",
)  # fmt: skip
_VERBS = {  # before it is done, and after
    "Read": ("read", "read"),
    "ReadData": ("read", "read"),
    "Write": ("write", "wrote"),
    "WriteData": ("write", "wrote"),
    "Map": ("map", "mapped"),
    "Unmap": ("unmap", "unmapped"),
    "Query": ("ask for", "asked for"),
    "MarkDirty": ("mark", "marked"),
}
_LAST = 12  # accesses that are told in words


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


class Told(NamedTuple):
    """An access in words; the text is a device's, escape it."""

    seq: int
    time_ns: int
    text: str


@dataclass(slots=True)
class DeviceFacts:
    """One device at a moment. *config* has what was read, with what was written since; None if nothing was.

    *last* are the last accesses, oldest first; *next* is the one after them, if it is recorded.
    """

    name: str
    info: Info | None = None
    regions: dict[int, Region] = field(default_factory=dict)
    mapped: set[tuple[int, int]] = field(default_factory=set)  # (region, area)
    registers: dict[str, Known] = field(default_factory=dict)
    config: bytes | None = None
    last: list[Told] = field(default_factory=list)
    next: Told | None = None
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
        self._index = AccessIndex(recording, side)

    def update(self) -> bool:
        """Read on; return whether anything came."""
        return self._index.update()

    def names(self, at: int | None = None) -> list[str]:
        """Return the devices that were accessed, in the order in which they came.

        :param at: up to the access of that number
        """
        bound = row_until(self.recording.accesses, at)
        return [name for name, index in self._index.devices.items() if index.rows.last(1, bound)]

    def device(self, name: str | None, at: int | None = None) -> DeviceFacts | None:
        """Return a device by name; None for the first with a migration region, or else the first.

        None is returned while there is none yet.

        :param at: what was known after the access of that number; None for all that is recorded
        :raises AddressError: others are there, but not this one
        """
        devices = self._index.devices
        if name is not None and name not in devices and devices:
            have = ", ".join(map(repr, devices))
            raise AddressError(f"no device {name!r} on the {self.side}", hint=f"recorded: {have}")
        bound = row_until(self.recording.accesses, at)
        there = [self._known(one, bound) for one in self.names(at) if name in (None, one)]
        able = (facts for facts in there if facts.migration is not None)
        facts = next(able, there[0] if there else None)
        if facts is not None:
            self._tell(facts, devices[facts.name], bound)
        return facts

    def config(self, name: str, at: int | None = None) -> bytes | None:
        """Return the config space of a device as far as it was read; None if it was not, or has none.

        :param at: as of `device`
        """
        return self._known(name, row_until(self.recording.accesses, at)).config

    def _known(self, name: str, bound: int) -> DeviceFacts:
        index = self._index.devices[name]
        facts = DeviceFacts(name)
        for row, answer in index.answers:
            if row < bound and isinstance(answer, Region):
                facts.regions[answer.index] = answer
            elif row < bound and isinstance(answer, Info):
                facts.info = answer
        for row, region, area, mapped in index.maps:
            if row < bound:
                (facts.mapped.add if mapped else facts.mapped.discard)((region, area))
        if facts.is_pci:
            facts.config = index.config.at(bound)
        return facts

    def _tell(self, facts: DeviceFacts, index: DeviceIndex, bound: int) -> None:
        last, coming = index.rows.last(_LAST, bound), index.rows.after(bound)
        held: dict[str, list[int]] = {}
        if facts.migration is not None:
            for register in REGISTERS:
                rows = index.registers.get((facts.migration.index, register))
                if rows is not None and (found := rows.last(2, bound)):
                    held[register] = found
        numbers = [*last, *([coming] if coming is not None else []), *chain.from_iterable(held.values())]
        rows_of = self._rows(dict.fromkeys(numbers))
        facts.last = [_told(rows_of[number]) for number in last]
        facts.next = _told(rows_of[coming], done=False) if coming is not None else None
        for register, found in held.items():
            now = rows_of[found[-1]]
            before = rows_of[found[0]]["value"] if len(found) > 1 else None
            written = now["kind"] == "Write"
            facts.registers[register] = Known(now["value"], before, now["seq"], now["time_ns"], written)
            if found[-1] == last[-1]:
                facts.last_register = register

    def _rows(self, numbers: Iterable[int]) -> dict[int, dict[str, Any]]:
        table = self.recording.accesses.to_arrow().select(_COLUMNS)
        return {number: table.slice(number, 1).to_pylist()[0] for number in numbers}


def _told(row: dict[str, Any], *, done: bool = True) -> Told:
    return Told(row["seq"], row["time_ns"], words(row, done=done))


@lru_cache(maxsize=8)
def decoded(config: bytes) -> ConfigSpace:
    """Return config space decoded; the last few are remembered, as pictures ask for the same again."""
    return decode(config)


def meaning(register: str, value: int) -> str:
    """Return a register's value as people read it, v5 spec 1.2; empty where the number says all."""
    if register == "device_state":
        return state_name(value)
    if register in ("pending_bytes", "data_offset", "data_size", "page_size"):
        return people_bytes(value)
    if register in ("copied_pfns", "total_pfns"):
        return "all of them" if value == (1 << 64) - 1 else f"{value:,} pages"
    return ""


def words(row: dict[str, Any], *, done: bool = True) -> str:
    """Return an access and what came of it in words; the text is a device's, escape it.

    :param done: without it the access stands before it is done: what it gives is not told
    """
    kind, offset, size = row["kind"], row["offset"], row["size"]
    how = "trapped" if row["area"] is None else f"mapped area {row['area']}"
    verb = _VERBS.get(kind, ("reset", "reset"))[done]
    match kind:
        case "Read" | "Write":
            more = meaning(row["what"], row["value"] or 0)
            value = f" = {row['value'] or 0:#x}" + (f" ({more})" if more else "")
            known = kind == "Write" or (done and row["error"] is None)
            text = f"{verb} {row['what']}{value if known else ''}"
        case "ReadData" | "WriteData":
            text = f"{verb} {people_bytes(size)} of region {row['region']} at {offset:#x}, {how}"
        case "Map" | "Unmap":
            text = f"{verb} area {row['area']} of region {row['region']} at {offset:#x}"
        case "Query":
            text = f"{verb} " + ("device info" if row["region"] is None else f"region {row['region']}")
        case "MarkDirty":
            text = f"{verb} dirty in {people_bytes(size)} of guest memory at {offset:#x}"
        case _:
            text = verb
    return text if row["error"] is None or not done else f"{text}: failed, {row['message']}"
