"""The tables of a recording and their columns, declared once.

Arrow schemas, row types, what a file is checked against when it is opened, and the table in the docs all
derive from :data:`TABLES`. Types are named here and become Arrow's in :func:`arrow_schema`:

``u64`` ``i64`` ``i32`` ``f64``   numbers, exact
``name``                          a string of few different ones (Arrow: dictionary of int32 to utf8)
``text``                          any string
``bytes``                         binary, 64-bit offsets
``u64s`` ``texts``                a list of numbers; of strings that may be null
``sizes``                         a list of (name, bytes)
"""

from __future__ import annotations

from collections import namedtuple
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ("BESIDE", "FORMAT", "KINDS", "SMALL", "TABLES", "Column", "arrow_schema", "row_type")

FORMAT = "1"
"""Version of the folder's format, in each file's metadata; another one is not read."""

SMALL = 4096
"""Data of fewer bytes is kept always. A guest page is not small: memory is kept when asked for."""

KINDS = (
    "Read", "Write", "ReadData", "WriteData", "Map", "Unmap", "Query", "Reset", "Put", "Take", "ReadPages",
    "WritePages", "MarkDirty", "SyncLog", "Now", "Wait", "Emit", "Say", "Enter", "Sample",
)  # fmt: skip
"""Names of the accesses; in `accesses`, the last four stand only for those that failed."""


@dataclass(frozen=True, slots=True)
class Column:
    """One column: name, type, unit ("" for none), whether it may be null, and what it says."""

    name: str
    type: str
    unit: str
    nullable: bool
    about: str


def _table(text: str) -> tuple[Column, ...]:
    columns = []
    for line in filter(None, text.splitlines()):
        name, type_, unit, about = (part.strip() for part in line.split("|"))
        columns.append(Column(name, type_.rstrip("?"), unit, type_.endswith("?"), about))
    return tuple(columns)


_HEAD = """
seq          | u64   |       | number of the access in the run, from 0; one counter over all tables
time_ns      | i64   | ns    | when it began, on the clock of the run
"""

TABLES: dict[str, tuple[Column, ...]] = {
    "accesses": _table(
        _HEAD
        + """
duration_ns  | i64   | ns    | how long it took, on the same clock
side         | name  |       | source or destination
kind         | name  |       | class of the access: Read, Write, Put …
device       | name? |       | the device, as the run names it
region       | i32?  |       | VFIO region index; null for Query of the device
offset       | u64?  | bytes | in the region; of page accesses in the block; of MarkDirty in memory
size         | u64?  | bytes | width of a register, length of data, of an area or of the pages
what         | name? |       | register, item of the stream, or RAM block
area         | i32?  |       | index of the mapped area; null when trapped
value        | u64?  |       | number read or written; Now, Wait: ns; page accesses: page size, bytes
hash         | u64?  |       | xxh3_64 of data of 4096 bytes and more
data         | bytes? |      | the data: fewer than 4096 bytes always, more when asked for
info         | text? |       | result of Query, as JSON
error        | name? |       | class of the error; null when the access came back well
errno        | i32?  |       | errno of the error; 0 for short
moved        | i64?  | bytes | what moved of a short access
position     | u64?  | bytes | of a stream's error, in the stream
message      | text? |       | the error's message
rule         | text? |       | the rule it names
hint         | text? |       | what it says to try
"""
    ),
    "events": _table(
        _HEAD
        + """
thread       | i64   |       | the kernel's id of the thread that recorded
side         | name  |       | source or destination
name         | name  |       | the trace event
signature    | name  |       | one letter an argument: Q number, q negative number, s string, n NULL string
args         | u64s  |       | the numbers in order, as 64-bit patterns
texts        | texts |       | the strings in order
"""
    ),
    "samples": _table(
        _HEAD
        + """
side         | name  |       | source or destination
turn         | u64   |       | turn of the migration loop
total        | u64   | bytes | pending, all handlers
pending      | sizes | bytes | pending, handler by handler, RAM first
threshold    | u64   | bytes | the loop stops the VM below it
bandwidth    | f64   | bytes/s | measured
transferred  | u64   | bytes | put into the stream so far
dirty_pages  | u64   | pages | of RAM still to be sent
syncs        | u64   |       | syncs of the dirty log so far
"""
    ),
    "states": _table(
        _HEAD
        + """
side         | name  |       | source or destination
machine      | name  |       | vm, migration, or a device
state        | name  |       | the state entered
"""
    ),
    "messages": _table(
        _HEAD
        + """
side         | name  |       | source or destination
device       | name  |       | whom it is about
text         | text  |       | the message
"""
    ),
    "bitmaps": _table(
        _HEAD
        + """
side         | name  |       | source or destination
kind         | name  |       | mark, sync: dirty in a device, in the VMM; pages, nonzero: of a page access
device       | name? |       | the device, of mark
block        | name? |       | the RAM block, of the others
pfn          | u64   | pages | page of the first bit: in guest memory of mark, in the block of the others
pages        | u64   | pages | length
page_size    | u64   | bytes | of a page
count        | u64   | pages | bits set
bitmap       | bytes? |      | bit k of byte k//8 is page pfn + k; null: all are set
"""
    ),
    "blocks": _table(
        _HEAD
        + """
side         | name  |       | source or destination
kind         | name  |       | ram, ignored: RAM that migrates, that does not; mapped, skipped: for DMA or not
name         | name  |       | the RAM block, or what the section is
device       | name? |       | for whom it is mapped
address      | u64   | bytes | in guest memory, which is the IOVA
size         | u64   | bytes | length
page_size    | u64   | bytes | of the pages it is made of: more than 4096 for huge pages
why          | text? |       | reason why it is skipped
"""
    ),
    "failures": _table(
        _HEAD
        + """
side         | name? |       | whose flow ended so; null for the run as a whole
error        | name  |       | class of the error
message      | text  |       | what was done and what came back
rule         | text? |       | the rule it names
hint         | text? |       | what it says to try
"""
    ),
}

BESIDE = ("bitmaps", "blocks", "failures")
"""Tables whose rows are no accesses, and have the number of the access that they came with."""


@cache
def row_type(table: str) -> type[Any]:
    """Return the NamedTuple of a table's rows; its fields are the columns."""
    return namedtuple(f"{table.capitalize()}Row", [column.name for column in TABLES[table]])


@cache
def arrow_schema(table: str) -> pa.Schema:
    """Return a table's Arrow schema, without metadata."""
    import pyarrow as pa

    types = {
        "u64": pa.uint64(),
        "i64": pa.int64(),
        "i32": pa.int32(),
        "f64": pa.float64(),
        "name": pa.dictionary(pa.int32(), pa.string()),
        "text": pa.string(),
        "bytes": pa.large_binary(),
        "u64s": pa.list_(pa.uint64()),
        "texts": pa.list_(pa.string()),
        "sizes": pa.list_(pa.struct([("name", pa.string()), ("bytes", pa.uint64())])),
    }
    return pa.schema([pa.field(c.name, types[c.type], nullable=c.nullable) for c in TABLES[table]])
