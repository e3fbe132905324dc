"""Appending to a live recording, by class of access.

What comes often is packed by :mod:`vfiokit.recording.frequent`; the others, and whatever failed, here. A
window on live memory is hashed or copied before the function returns.
"""

from __future__ import annotations

import json
import struct
import threading
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

from vfiokit import accesses as a
from vfiokit.errors import MissingExtraError, RecordingError, VfioError
from vfiokit.recording.frequent import HEAD, TAIL, Append, frequent
from vfiokit.recording.packed import KIND, MASK, ROW, AccessStore, packer
from vfiokit.recording.schema import SMALL
from vfiokit.recording.sections import Section, checked
from vfiokit.recording.stores import RowStore
from vfiokit.uapi.info import Info, Region

__all__ = ("MISFITS", "Writers")

MISFITS = (KeyError, TypeError, AttributeError, ValueError, struct.error)
"""What an access that does not fit raises in a writer; `Writers.append` says it better."""

# In the order of the packed row.
_ANY = ("offset", "size", "value", "hash", "kept", "what", "problem", "region", "area", "device")
_PACK = packer(*HEAD, *_ANY, *TAIL).pack_into

_Place = a.ReadData | a.WriteData | a.Map | a.Unmap


class Writers:
    """The appending side of a recording; one thread uses it.

    :param tables: the other stores, by name
    :param full: called when a chunk of accesses is full
    :ivar next_seq: number of the next access, over all tables
    :ivar by_type: the functions, by class of access
    """

    def __init__(
        self,
        accesses: AccessStore,
        tables: Mapping[str, RowStore],
        *,
        with_data: bool,
        hash_data: bool,
        full: Callable[[], None],
    ) -> None:
        self.accesses = accesses
        self.next_seq = 0
        self._tables = tables
        self._full = full
        self.with_data = with_data
        self.hash = _hash_function() if hash_data else _no_hash
        self._thread = (0, 0)
        self.by_type: dict[type, Append] = {
            **dict.fromkeys((a.ReadData, a.WriteData, a.Map, a.Unmap, a.Query, a.Reset, a.Wait), self._other),
            **frequent(self),
            a.ReadPages: self._read_pages,
            a.MarkDirty: self._mark_dirty,
            a.SyncLog: self._sync_log,
            a.Emit: self._emit,
            a.Say: self._say,
            a.Enter: self._enter,
            a.Sample: self._sample,
        }

    def append(
        self, side: str, access: Any, result: Any, error: VfioError | None, time_ns: int, duration_ns: int
    ) -> None:
        """Append one access.

        :raises RecordingError: it is none, the result is not one of it, or a number has over 64 bits
        """
        try:
            number = self.accesses.sides[side]
            if error is not None:
                self._failed(number, access, error, time_ns, duration_ns)
            else:
                self.by_type[type(access)](number, access, result, time_ns, duration_ns)
        except MISFITS as wrong:
            raise RecordingError(
                f"{type(access).__name__} cannot be recorded with result {type(result).__name__}: {wrong}",
                rule="an access of vfiokit.accesses, its result as told there, numbers of at most 64 bits",
            ) from wrong

    def roll(self) -> bytearray:
        """Begin the next chunk of accesses."""
        if self.accesses.written:
            self._full()
        return self.accesses.roll()

    def keep(self, data: Any) -> tuple[int, int]:
        """Return where *data* was kept, 0 if it was not, and its hash, 0 if it has none."""
        kept = self.accesses.kept
        if len(data) < SMALL:
            kept.append(bytes(data))
            return len(kept), 0
        number = self.hash(data)
        if self.with_data:
            kept.append(bytes(data))
            return len(kept), number
        return 0, number

    def _append(self, side: int, access: Any, start: int, duration: int, **fields: int) -> None:
        store = self.accesses
        values = {**_fields(access, store), **fields}
        count, seq = store.written, self.next_seq
        chunk = store.chunk if count & MASK else self.roll()
        kind = KIND[type(access).__name__]
        _PACK(
            chunk, (count & MASK) * ROW, seq, start, duration,
            *[values.get(name, 0) for name in _ANY], kind, side,
        )  # fmt: skip
        self.next_seq = seq + 1
        store.written = count + 1

    def _other(self, side: int, access: Any, result: Any, start: int, duration: int) -> None:
        kept = number = 0
        data = result if isinstance(access, a.ReadData) else getattr(access, "data", None)
        if isinstance(access, a.Query):
            if isinstance(result, Info | Region):
                self.accesses.kept.append(json.dumps({"class": type(result).__name__, **asdict(result)}))
                kept = len(self.accesses.kept)
        elif data is not None:
            kept, number = self.keep(data)
        self._append(side, access, start, duration, kept=kept, hash=number)

    def _failed(self, side: int, access: Any, error: VfioError, start: int, duration: int) -> None:
        """Any access that raised; data that it carried is kept as of one that went well."""
        if isinstance(access, a.ReadPages | a.WritePages):
            self._keep_pages(side, access, start)
        elif isinstance(access, a.MarkDirty):
            self._keep_mark(side, access, start)
        kept, number = 0, 0
        data = getattr(access, "data", None)
        if data is not None:
            kept, number = self.keep(data)
        elif isinstance(access, a.WritePages):
            kept = 1
        errno, moved, position = (getattr(error, name, None) for name in ("errno", "moved", "position"))
        self.accesses.problems.append(
            (type(error).__name__, errno, moved, position, error.message, error.rule, error.hint)
        )
        problem = len(self.accesses.problems)
        self._append(side, access, start, duration, kept=kept, hash=number, problem=problem)

    # Pages and bitmaps

    def several_pages(
        self, side: int, access: a.WritePages, _result: None, start: int, duration: int
    ) -> None:
        """A WritePages of any number of pages."""
        self._keep_pages(side, access, start)
        kept, number = (1, 0) if access.data is None else self.keep(access.data)
        self._append(side, access, start, duration, kept=kept, hash=number)

    def _read_pages(self, side: int, access: a.ReadPages, result: Any, start: int, duration: int) -> None:
        data = memoryview(result).cast("B")
        self._keep_pages(side, access, start, None if self.with_data else data)
        kept, number = self.keep(data)
        self._append(side, access, start, duration, kept=kept, hash=number)

    def _keep_pages(self, side: int, access: Any, start: int, content: Any = None) -> None:
        """Which pages, as a bitmap; of those read, too, which are not all zeros."""
        if not len(access.pages):
            return
        import numpy as np

        pages = np.asarray(access.pages, np.int64)
        chosen = {"pages": pages}
        if content is not None:
            words = np.frombuffer(content, np.uint64).reshape(len(pages), -1)
            full = words[:, 0] != 0  # most pages with content show it at once
            rest = np.flatnonzero(~full)
            full[rest] = np.bitwise_or.reduce(words[rest], axis=1) != 0
            chosen["nonzero"] = pages[full]
        first = int(pages.min())
        span = int(pages.max()) - first + 1
        for kind, some in chosen.items():
            bits = np.zeros(span, np.uint8)
            bits[some - first] = 1
            bitmap = np.packbits(bits, bitorder="little").tobytes()
            self._bitmap(side, start, kind, None, access.block, first, span, access.page_size, bitmap)

    def _mark_dirty(self, side: int, access: a.MarkDirty, _result: None, start: int, duration: int) -> None:
        self._keep_mark(side, access, start)
        self._append(side, access, start, duration)

    def _keep_mark(self, side: int, access: a.MarkDirty, start: int) -> None:
        bitmap = None if access.bitmap is None else bytes(access.bitmap)
        where = (access.device, None, access.pfn, access.pages, access.page_size)
        self._bitmap(side, start, "mark", *where, bitmap)

    def _sync_log(self, side: int, access: a.SyncLog, result: Any, start: int, duration: int) -> None:
        bitmap = bytes(result)
        self._bitmap(side, start, "sync", None, access.block, 0, len(bitmap) * 8, 4096, bitmap)
        self._append(side, access, start, duration, size=len(bitmap))

    def _bitmap(self, side: int, start: int, *columns: Any) -> None:
        """Goes before the row of its access, with the same number."""
        name = self.accesses.sides.known[side]
        self._tables["bitmaps"].append((self.next_seq, start, name, *columns))

    def place(self, side: str, section: Section, start: int) -> None:
        """Tell where memory lies; goes before the row of the next access, with the same number."""
        name, section = self.accesses.sides.known[self.accesses.sides[side]], checked(section)
        kind, what, address, size, page_size, device, why = section
        row = (kind, what, device, address, size, page_size, why)
        self._tables["blocks"].append((self.next_seq, start, name, *row))

    def fail(self, side: str | None, error: VfioError, start: int) -> None:
        """Tell what ended a flow; it has the number of the last access."""
        row = (side, type(error).__name__, error.message, error.rule, error.hint)
        self._tables["failures"].append((max(self.next_seq - 1, 0), start, *row))

    # Tables of their own

    def _row(self, table: str, start: int, *columns: Any) -> None:
        seq = self.next_seq
        self._tables[table].append((seq, start, *columns))
        self.next_seq = seq + 1

    def _emit(self, side: int, access: a.Emit, _result: None, start: int, _duration: int) -> None:
        ident = threading.get_ident()
        if ident != self._thread[0]:
            self._thread = ident, threading.get_native_id()
        self._row(
            "events", start, self._thread[1], self.accesses.sides.known[side], access.event, access.args
        )

    def _say(self, side: int, access: a.Say, _result: None, start: int, _duration: int) -> None:
        self._row("messages", start, self.accesses.sides.known[side], access.device, access.text)

    def _enter(self, side: int, access: a.Enter, _result: None, start: int, _duration: int) -> None:
        self._row("states", start, self.accesses.sides.known[side], access.machine, access.state)

    def _sample(self, side: int, access: a.Sample, _result: None, start: int, _duration: int) -> None:
        self._row(
            "samples", start, self.accesses.sides.known[side], access.turn, access.total, access.pending,
            access.threshold, float(access.bandwidth), access.transferred, access.dirty_pages, access.syncs,
        )  # fmt: skip


def _fields(access: Any, store: AccessStore) -> dict[str, int]:
    """Return what a packed row says of an access, whatever came of it."""
    match access:
        case a.Read() | a.Write():
            fields = {"size": access.width, "offset": access.offset, "region": access.region}
            fields["what"] = store.whats[access.field]
            fields["value"] = getattr(access, "value", 0)
        case a.ReadData() | a.WriteData() | a.Map() | a.Unmap():
            size = len(access.data) if isinstance(access, a.WriteData) else access.size
            area = -1 if access.area is None else access.area
            fields = {"size": size, "offset": access.offset, "region": access.region, "area": area}
        case a.Query():
            fields = {"region": -1 if access.region is None else access.region}
        case a.Put() | a.Take():
            size = len(access.data) if isinstance(access, a.Put) else access.size
            fields = {"size": size, "what": store.whats[access.what]}
        case a.ReadPages() | a.WritePages():
            size = access.page_size
            first = int(min(access.pages)) if len(access.pages) else 0
            fields = {"offset": first * size, "size": len(access.pages) * size, "value": size}
            fields["what"] = store.whats[access.block]
        case a.MarkDirty():
            size = access.page_size
            fields = {"offset": access.pfn * size, "size": access.pages * size, "value": size}
        case a.SyncLog():
            fields = {"what": store.whats[access.block]}
        case a.Wait():
            fields = {"value": access.ns}
        case a.Emit():
            fields = {"what": store.whats[access.event]}
        case a.Enter():
            fields = {"what": store.whats[access.machine]}
        case _:
            fields = {}
    if hasattr(access, "device"):
        fields["device"] = store.devices[access.device]
    return fields


def _no_hash(_data: Any) -> int:
    return 0


def _hash_function() -> Callable[[Any], int]:
    try:
        import xxhash
    except ImportError as error:
        raise MissingExtraError("xxhash", "recording") from error
    function: Callable[[Any], int] = xxhash.xxh3_64_intdigest
    return function
