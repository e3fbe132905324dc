"""The accesses of a live recording: packed rows of 80 bytes, written in place, read through numpy.

A row has every field that any kind of access has; :data:`FIELDS` says which of them a kind uses. Strings
are numbers in :class:`Names <vfiokit.recording.stores.Names>`; data, errors and answers to queries are
kept aside, with 1 + their index in the row; up to 8 bytes of the stream are in the row, as its value. A
chunk of rows is allocated once and never moves: a view of it can be read while more is written behind.
"""

from __future__ import annotations

import struct
import threading
from typing import TYPE_CHECKING, Any

from vfiokit.recording.schema import KINDS, arrow_schema
from vfiokit.recording.stores import CHUNK, Names, Store

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

__all__ = ("FIELDS", "KIND", "ROW", "AccessStore", "Problem", "packer")

_LAYOUT = {
    "seq": "Q", "time_ns": "q", "duration_ns": "q", "offset": "Q", "size": "Q", "value": "Q", "hash": "Q",
    "kept": "I", "what": "I", "problem": "I", "region": "i", "area": "i",
    "device": "H", "kind": "B", "side": "B",
}  # fmt: skip
ROW = struct.calcsize("<" + "".join(_LAYOUT.values()))
MASK = CHUNK - 1

KIND = {name: number for number, name in enumerate(KINDS)}

_PLACE = ("device", "region", "offset", "size")
_PAGES = ("offset", "size", "what", "value")
FIELDS: dict[str, tuple[str, ...]] = {
    "Read": (*_PLACE, "what", "value"),
    "Write": (*_PLACE, "what", "value"),
    "ReadData": (*_PLACE, "area"),
    "WriteData": (*_PLACE, "area"),
    "Map": (*_PLACE, "area"),
    "Unmap": (*_PLACE, "area"),
    "Query": ("device", "region"),
    "Reset": ("device",),
    "Put": ("size", "what"),
    "Take": ("size", "what"),
    "ReadPages": _PAGES,
    "WritePages": _PAGES,
    "MarkDirty": ("device", "offset", "size", "value"),
    "SyncLog": ("size", "what"),
    "Now": ("value",),
    "Wait": ("value",),
    "Emit": ("what",),
    "Say": ("device",),
    "Enter": ("what",),
    "Sample": (),
}
_RESULTS = ("Read", "Now")  # their value is null when they failed

Problem = tuple[str, int | None, int | None, int | None, str, str | None, str | None]
"""Class, errno, moved, position, message, rule, hint: the last columns of the table."""


def packer(*fields: str, **codes: str) -> struct.Struct:
    """Return the struct of a row in which only *fields*, in the layout's order, are not zero.

    :param codes: a field's struct code where it is not the layout's
    """
    layout = "<"
    for name, code in {**_LAYOUT, **codes}.items():
        layout += code if name in fields else f"{struct.calcsize('<' + code)}x"
    return struct.Struct(layout)


class AccessStore(Store):
    """Rows of `accesses`; the writer's side is in :mod:`vfiokit.recording.writers`.

    :ivar written: rows that are whole; raised last
    :ivar chunk: the chunk being written
    """

    def __init__(self, lock: threading.RLock) -> None:
        super().__init__("accesses", lock)
        self.written = 0
        self.chunk = bytearray()
        self.kept: list[Any] = [b""]  # the first stands for pages of zeros
        self.problems: list[Problem] = []
        self.sides, self.devices, self.whats = Names(), Names(), Names()
        self._chunks: list[bytearray | None] = []
        self._keeping = 1  # in kept, what comes before was let go

    @property
    def count(self) -> int:
        """Rows that may be read."""
        return self.written

    def roll(self) -> bytearray:
        """Return the chunk of the next row, which is its first."""
        if len(self._chunks) == self.written // CHUNK:  # else the first row was refused and comes again
            self.chunk = bytearray(ROW * CHUNK)
            self._chunks.append(self.chunk)
        return self.chunk

    def _rows(self, start: int, stop: int) -> Any:
        import numpy as np

        number = start // CHUNK
        chunk = self._chunks[number]
        assert chunk is not None
        types = [(name, f"<{code}") for name, code in _LAYOUT.items()]
        rows = np.frombuffer(chunk, np.dtype(types), count=stop - number * CHUNK)
        return rows[start - number * CHUNK :]

    def release(self, start: int, stop: int) -> None:  # noqa: ARG002
        """Let a chunk go that is converted to its end, and the data it kept."""
        if stop % CHUNK:
            return
        last = int(self._rows(stop - CHUNK, stop)["kept"].max())
        self._chunks[stop // CHUNK - 1] = None
        if last > self._keeping:
            self.kept[self._keeping : last] = [None] * (last - self._keeping)
            self._keeping = last

    def convert(self, start: int, stop: int) -> pa.RecordBatch:
        """Make a batch: numbers by numpy, what was kept aside by index."""
        import numpy as np
        import pyarrow as pa

        rows = self._rows(start, stop)
        kind, problem = rows["kind"], rows["problem"]
        well = problem == 0
        known = {name: _uses(name)[kind] for name in ("device", "offset", "size", "what", "value")}
        known["value"] &= well | ~np.isin(kind, [KIND[name] for name in _RESULTS])
        for name in ("region", "area"):
            known[name] = _uses(name)[kind] & (rows[name] >= 0)
        known["hash"] = rows["hash"] != 0
        arrays: dict[str, pa.Array] = {
            "side": _names(self.sides.known, rows["side"]),
            "kind": _names(KINDS, kind),
            "device": _names(self.devices.known, rows["device"], known["device"]),
            "what": _names(self.whats.known, rows["what"], known["what"]),
        }
        query = kind == KIND["Query"]
        tiny = np.isin(kind, (KIND["Put"], KIND["Take"])) & (rows["size"] <= 8) & (rows["kept"] == 0) & well
        arrays["data"] = _aside(self.kept, rows["kept"] * ~query, pa.large_binary(), tiny, rows)
        arrays["info"] = _aside(self.kept, rows["kept"] * query, pa.string())
        schema = arrow_schema("accesses")
        for at, name in enumerate(("error", "errno", "moved", "position", "message", "rule", "hint")):
            values = pa.nulls(len(rows), schema.field(name).type)
            if not well.all():
                found = [None if n == 0 else self.problems[n - 1][at] for n in problem.tolist()]
                encoded = pa.array(found, pa.string()).dictionary_encode() if name == "error" else None
                values = encoded if encoded is not None else pa.array(found, schema.field(name).type)
            arrays[name] = values
        for field in schema:
            if field.name not in arrays:
                numbers = np.ascontiguousarray(rows[field.name])
                mask = ~known[field.name] if field.name in known else None
                arrays[field.name] = pa.array(numbers, field.type, mask=mask)
        return pa.RecordBatch.from_arrays([arrays[field.name] for field in schema], schema=schema)


def _uses(field: str) -> NDArray[np.bool_]:
    """By number of the kind: does it use the field."""
    import numpy as np

    return np.array([field in FIELDS[name] for name in KINDS])


def _names(known: Any, numbers: Any, valid: Any = None) -> Any:
    import numpy as np
    import pyarrow as pa

    mask = None if valid is None else ~valid
    if mask is not None and mask.all():
        return pa.nulls(len(numbers), pa.dictionary(pa.int32(), pa.string()))
    # A copy of the list: the writer may append meanwhile. Arrow wants every index within the dictionary.
    indices = pa.array(np.ascontiguousarray(numbers, np.int32), mask=mask)
    return pa.DictionaryArray.from_arrays(indices, pa.array(list(known), pa.string()))


def _aside(kept: list[Any], indices: Any, type_: Any, tiny: Any = None, rows: Any = None) -> Any:
    """Return what was kept aside; of *tiny* rows, what is in the row's value."""
    import numpy as np
    import pyarrow as pa

    found: list[Any] = [None] * len(indices)
    for at in np.flatnonzero(indices).tolist():
        found[at] = kept[indices[at] - 1]
    if tiny is not None:
        chosen = np.flatnonzero(tiny)
        raw = np.ascontiguousarray(rows["value"][chosen]).tobytes()
        for number, (at, size) in enumerate(zip(chosen.tolist(), rows["size"][chosen].tolist(), strict=True)):
            found[at] = raw[number * 8 : number * 8 + size]
    return pa.array(found, type_)
