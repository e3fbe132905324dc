"""Appending the accesses that come by the ten thousand: each function packs its row at once.

They are closures because that is what costs least: everything they need is a local of theirs. A row is
whole before ``written`` is raised, and that is the last thing done.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from vfiokit import accesses as a
from vfiokit.recording.packed import KIND, MASK, ROW, packer
from vfiokit.recording.schema import SMALL

if TYPE_CHECKING:
    from vfiokit.recording.writers import Writers

__all__ = ("Append", "frequent")

Append = Callable[[int, Any, Any, int, int], None]
"""Appends (number of the side, access, result, time_ns, duration_ns)."""

HEAD = ("seq", "time_ns", "duration_ns")
TAIL = ("kind", "side")


def frequent(writers: Writers) -> dict[type, Append]:
    """Return the functions, by class of access."""
    write = _register(writers, "Write")
    put = _stream(writers, "Put")
    take = _stream(writers, "Take")
    return {
        a.Read: _register(writers, "Read"),
        a.Write: lambda side, access, _, start, duration: write(side, access, access.value, start, duration),
        a.Put: lambda side, access, _, start, duration: put(side, access, access.data, start, duration),
        a.Take: take,
        a.WritePages: _write_pages(writers),
        a.Now: _now(writers),
    }


def _register(writers: Writers, name: str) -> Append:
    store, kind = writers.accesses, KIND[name]
    devices, whats = store.devices, store.whats
    fields = ("offset", "size", "value", "what", "region", "device")
    pack = packer(*HEAD, *fields, *TAIL).pack_into

    def register(side: int, access: Any, value: int, start: int, duration: int) -> None:
        count, seq = store.written, writers.next_seq
        chunk = store.chunk if count & MASK else writers.roll()
        pack(
            chunk, (count & MASK) * ROW, seq, start, duration, access.offset, access.width, value,
            whats[access.field], access.region, devices[access.device], kind, side,
        )  # fmt: skip
        writers.next_seq = seq + 1
        store.written = count + 1

    return register


def _stream(writers: Writers, name: str) -> Append:
    store, kind = writers.accesses, KIND[name]
    whats, kept, keep, keep_large = store.whats, store.kept, store.kept.append, writers.keep
    with_data, hashed = writers.with_data, writers.hash
    pack = packer(*HEAD, "size", "hash", "kept", "what", *TAIL).pack_into
    pack_tiny = packer(*HEAD, "size", "value", "what", *TAIL, value="8s").pack_into

    def move(side: int, access: Any, data: Any, start: int, duration: int) -> None:
        size = len(data)
        count, seq = store.written, writers.next_seq
        chunk = store.chunk if count & MASK else writers.roll()
        where = (count & MASK) * ROW
        if size <= 8:  # most of what RAM's flows move
            pack_tiny(
                chunk, where, seq, start, duration, size, bytes(data), whats[access.what], kind, side
            )  # fmt: skip
        else:
            if size < SMALL:
                keep(bytes(data))
                at, number = len(kept), 0
            elif with_data:
                at, number = keep_large(data)
            else:
                at, number = 0, hashed(data)
            pack(chunk, where, seq, start, duration, size, number, at, whats[access.what], kind, side)
        writers.next_seq = seq + 1
        store.written = count + 1

    return move


def _write_pages(writers: Writers) -> Append:
    store, kind, whats = writers.accesses, KIND["WritePages"], writers.accesses.whats
    keep, several = writers.keep, writers.several_pages
    with_data, hashed = writers.with_data, writers.hash
    pack = packer(*HEAD, "offset", "size", "value", "hash", "kept", "what", *TAIL).pack_into

    def write_pages(side: int, access: a.WritePages, result: None, start: int, duration: int) -> None:
        pages, size, data = access.pages, access.page_size, access.data
        if len(pages) != 1:
            several(side, access, result, start, duration)
            return
        if data is None:
            at, number = 1, 0
        elif with_data or size < SMALL:
            at, number = keep(data)
        else:
            at, number = 0, hashed(data)
        count, seq = store.written, writers.next_seq
        chunk = store.chunk if count & MASK else writers.roll()
        pack(
            chunk, (count & MASK) * ROW, seq, start, duration, pages[0] * size, size, size, number, at,
            whats[access.block], kind, side,
        )  # fmt: skip
        writers.next_seq = seq + 1
        store.written = count + 1

    return write_pages


def _now(writers: Writers) -> Append:
    store, kind = writers.accesses, KIND["Now"]
    pack = packer(*HEAD, "value", *TAIL).pack_into

    def now(side: int, _access: a.Now, result: int, start: int, duration: int) -> None:
        count, seq = store.written, writers.next_seq
        chunk = store.chunk if count & MASK else writers.roll()
        pack(chunk, (count & MASK) * ROW, seq, start, duration, result, kind, side)
        writers.next_seq = seq + 1
        store.written = count + 1

    return now
