"""From a recording back to accesses and their results, to feed the same flow without the device.

Everything comes back exactly but bulk data that was not kept, which is stood in for so that a flow takes
the same way:

* data of a device, of the stream and of guest pages is zeros of the same length;
* of pages read, one that was not all zeros has a 1 as its first byte, since RAM's flow asks for just that;
* a dirty bitmap read as data is the bitmap of the MarkDirty that follows it.

:attr:`Step.exact` tells whether all of a step is as it was.
"""

from __future__ import annotations

import heapq
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from vfiokit import accesses as a
from vfiokit import errors
from vfiokit.errors import RecordingError, VfioError
from vfiokit.recording.arguments import join
from vfiokit.recording.bitmaps import positions
from vfiokit.recording.tables import Table
from vfiokit.uapi.info import Area, Info, Region

__all__ = ("Step", "info_of", "steps")


@dataclass(frozen=True, slots=True)
class Step:
    """One access of a recording.

    :param access: rebuilt; data that was not kept is zeros
    :param result: what it brought; None if it failed
    :param error: what it failed with, else None
    :param exact: nothing is stood in for
    :param hash: xxh3_64 of bulk data, if there is one
    """

    seq: int
    kind: str
    access: a.Access
    result: Any
    error: VfioError | None
    time_ns: int
    duration_ns: int
    exact: bool = True
    hash: int | None = None

    def differs(self, access: a.Access) -> str | None:
        """Say in what *access* differs from the recorded one, or None. Stood-in data counts by length."""
        if type(access) is not type(self.access):
            return f"recorded: {self.access}; now: {access}"
        for field in fields(access):
            mine, other = getattr(self.access, field.name), getattr(access, field.name)
            if field.name == "data" and mine is not None and other is not None:
                same = len(mine) == len(other) and (not self.exact or bytes(mine) == bytes(other))
            elif field.name == "pages" and not isinstance(mine, int):
                same = list(mine) == sorted(int(page) for page in other)
            else:
                same = mine == other
            if not same:
                return f"{field.name} differs; recorded: {self.access}; now: {access}"
        return None


def steps(tables: Mapping[str, Table], side: str) -> Iterator[Step]:
    """Yield the steps of *side*, in order, up to the first number that no table has.

    :raises RecordingError: what the tables hold cannot have been recorded
    """
    ready: Step | None = None
    for step, mark in _read_ahead(tables, side):
        if ready is not None:
            # What a device's bitmap was read with is told by what was marked with it.
            if mark is not None and not ready.exact and _is_read_for(ready.access, step.access, mark):
                ready = replace(ready, result=mark + bytes(len(ready.result) - len(mark)))
            yield ready
        ready = step
    if ready is not None:
        yield ready


def _is_read_for(read: a.Access, access: a.Access, bitmap: bytes) -> bool:
    return (
        isinstance(read, a.ReadData)
        and isinstance(access, a.MarkDirty)
        and read.device == access.device
        and len(bitmap) <= read.size
    )


def _read_ahead(tables: Mapping[str, Table], side: str) -> Iterator[tuple[Step, bytes | None]]:
    order = ("accesses", "events", "samples", "states", "messages")
    merged = heapq.merge(*(_numbered(tables[name]) for name in order), key=lambda item: item[0])
    bitmaps = iter(tables["bitmaps"])
    waiting = next(bitmaps, None)
    for due, (seq, name, row) in enumerate(merged):
        if seq != due:
            return  # the writer was killed between flushing two tables
        here: dict[str, Any] = {}
        while waiting is not None and waiting.seq <= seq:
            if waiting.seq == seq:
                here[waiting.kind] = waiting
            waiting = next(bitmaps, None)
        if row.side != side:
            continue
        try:
            step = _step(name, row, here)
        except (LookupError, TypeError, ValueError, ArithmeticError, MemoryError, AttributeError) as error:
            raise RecordingError(f"access {seq} of the recording cannot be: {error!r}") from error
        yield step, here["mark"].bitmap if "mark" in here else None


def _numbered(table: Table) -> Iterator[tuple[int, str, Any]]:
    return ((row.seq, table.name, row) for row in table)


def _step(table: str, row: Any, bitmaps: dict[str, Any]) -> Step:
    if table == "accesses":
        access, exact = _access(row, bitmaps)
        if row.error is not None:
            result, same = None, True
        else:
            result, same = _result(row, access, bitmaps)
        error = None if row.error is None else _error(row, access)
        return Step(
            row.seq, row.kind, access, result, error, row.time_ns, row.duration_ns, exact and same, row.hash
        )
    told: a.Access
    match table:
        case "events":
            told = a.Emit(row.name, join(row.signature, row.args, row.texts))  # type: ignore[arg-type]
        case "samples":
            told = a.Sample(
                row.turn, row.pending, row.threshold, row.bandwidth, row.transferred, row.dirty_pages,
                row.syncs,
            )  # fmt: skip
        case "states":
            told = a.Enter(row.machine, row.state)
        case _:
            told = a.Say(row.device, row.text)
    return Step(row.seq, type(told).__name__, told, None, None, row.time_ns, 0)


def _access(row: Any, bitmaps: dict[str, Any]) -> tuple[a.Access, bool]:
    """Return the access, and whether it is as it was."""
    place = (row.device, row.region, row.offset)
    data = row.data if row.data is not None or row.kind not in ("Put", "WriteData") else bytes(row.size)
    exact = row.data is not None or row.kind not in ("Put", "WriteData", "WritePages")
    access: a.Access
    match row.kind:
        case "Read":
            access = a.Read(*place, row.size, row.what)
        case "Write":
            access = a.Write(*place, row.size, row.what, row.value)
        case "ReadData":
            access = a.ReadData(*place, row.size, row.area)
        case "WriteData":
            access = a.WriteData(*place, data, row.area)
        case "Map":
            access = a.Map(row.device, row.region, row.area, row.offset, row.size)
        case "Unmap":
            access = a.Unmap(row.device, row.region, row.area, row.offset, row.size)
        case "Query":
            access = a.Query(row.device, row.region)
        case "Reset":
            access = a.Reset(row.device)
        case "Put":
            access = a.Put(data, row.what)
        case "Take":
            access = a.Take(row.size, row.what)
        case "ReadPages":
            access = a.ReadPages(row.what, _pages(row, bitmaps), row.value)
        case "WritePages":
            content = bytes(row.size) if row.data is None else (row.data or None)
            access = a.WritePages(row.what, _pages(row, bitmaps), row.value, content)
        case "MarkDirty":
            mark = bitmaps["mark"]
            access = a.MarkDirty(row.device, mark.pfn, mark.pages, mark.page_size, mark.bitmap)
        case "SyncLog":
            access = a.SyncLog(row.what)
        case "Now":
            access = a.Now()
        case "Wait":
            access = a.Wait(row.value)
        case "Emit":
            access = a.Emit(row.what, ())
        case "Enter":
            access = a.Enter(row.what, "")
        case "Say":
            access = a.Say(row.device, "")
        case "Sample":
            access = a.Sample(0, (), 0, 0.0, 0, 0, 0)
        case _:
            raise ValueError(row.kind)
    return access, exact and row.kind not in ("Emit", "Enter", "Say", "Sample")


def _pages(row: Any, bitmaps: dict[str, Any]) -> tuple[int, ...]:
    if "pages" in bitmaps:
        found = bitmaps["pages"]
        return tuple((positions(found.bitmap, found.pages) + found.pfn).tolist())
    return (row.offset // row.value,) if row.size else ()


def _result(row: Any, access: a.Access, bitmaps: dict[str, Any]) -> tuple[Any, bool]:
    """Return the result, and whether it is as it was."""
    match access:
        case a.Read() | a.Now():
            return row.value, True
        case a.ReadData() | a.Take():
            return (bytes(row.size), False) if row.data is None else (row.data, True)
        case a.ReadPages():
            return (_stand_in(row, access, bitmaps), False) if row.data is None else (row.data, True)
        case a.Query():
            return info_of(row.info), True
        case a.SyncLog():
            return bitmaps["sync"].bitmap, True
        case _:
            return None, True


def _stand_in(row: Any, access: a.ReadPages, bitmaps: dict[str, Any]) -> bytes:
    data = bytearray(row.size)
    if "nonzero" in bitmaps:
        found = bitmaps["nonzero"]
        full = set((positions(found.bitmap, found.pages) + found.pfn).tolist())
        for number, page in enumerate(access.pages):
            data[number * access.page_size] = page in full
    return bytes(data)


def info_of(text: str | None) -> Info | Region | None:
    """Return what a Query brought, from the ``info`` column's JSON."""
    if text is None:
        return None
    found = json.loads(text)
    if found.pop("class") == "Info":
        return Info(**found)
    if found["sparse"] is not None:
        found["sparse"] = tuple(Area(**area) for area in found["sparse"])
    if found["type"] is not None:
        found["type"] = tuple(found["type"])
    found["other_capabilities"] = tuple(found["other_capabilities"])
    return Region(**found)


def _error(row: Any, access: a.Access) -> VfioError:
    """Make an error of the class that was raised; its text is the recorded one."""
    cls = getattr(errors, row.error) if row.error in errors.__all__ else VfioError
    if not (isinstance(cls, type) and issubclass(cls, VfioError)):
        cls = VfioError
    error = cls.__new__(cls)
    error.args = (row.message,)
    told = {"access": access, "errno": row.errno, "moved": row.moved, "position": row.position}
    always = {"message": row.message, "rule": row.rule, "hint": row.hint}
    if issubclass(cls, errors.AccessError):
        always |= {"access": access, "errno": row.errno, "moved": row.moved}
    elif issubclass(cls, errors.RuleError):
        always |= {"access": access, "found": row.message.removeprefix(f"{access}: ")}
    elif issubclass(cls, errors.DeviceError):
        always |= {"device": row.device, "operation": row.message}
    for name, value in {**{k: v for k, v in told.items() if v is not None}, **always}.items():
        setattr(error, name, value)
    return error
