"""Where a live recording's rows are until somebody looks: appended by one thread, converted by readers.

A store publishes ``count`` last, so a reader sees whole rows only, and a prefix of them. Readers turn
ranges of rows into Arrow record batches under a lock of their own, which the writer never takes. A full
chunk is converted once and its raw form is let go.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from vfiokit.recording.schema import TABLES, arrow_schema

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ("CHUNK", "Names", "RowStore", "Store")

CHUNK = 1 << 14  # rows

Row = tuple[Any, ...]


class Names(dict[str, int]):
    """Strings numbered as they come; ``known`` has them in order, a new one before anybody has its number."""

    def __init__(self) -> None:
        super().__init__()
        self.known: list[str] = []

    def __missing__(self, name: str) -> int:
        name = str.__str__(name)  # of a StrEnum, the plain string
        self.known.append(name)
        number = self[name] = len(self.known) - 1
        return number


class Store:
    """Rows of one table.

    :param lock: held by whoever reads or flushes
    """

    def __init__(self, table: str, lock: threading.RLock) -> None:
        self.table = table
        self.lock = lock
        self._full: list[pa.RecordBatch] = []
        self._tail: pa.Table | None = None

    @property
    def count(self) -> int:
        """Rows that may be read."""
        raise NotImplementedError

    def convert(self, start: int, stop: int) -> pa.RecordBatch:
        """Make a batch of rows within one chunk that was not let go."""
        raise NotImplementedError

    def release(self, start: int, stop: int) -> None:
        """Let rows go that were converted."""
        raise NotImplementedError

    def batches(self, start: int, stop: int) -> Iterator[pa.RecordBatch]:
        """Yield rows [start, stop) as batches; hold the lock meanwhile."""
        while start < stop:
            number, first = divmod(start, CHUNK)
            last = min(stop - number * CHUNK, CHUNK)
            if number < len(self._full):
                yield self._full[number].slice(first, last - first)
            else:
                yield self.convert(start, number * CHUNK + last)
            start = number * CHUNK + last

    def arrow(self) -> pa.Table:
        """Return the rows that are there now."""
        import pyarrow as pa

        with self.lock:
            count = self.count
            if self._tail is not None and self._tail.num_rows == count:
                return self._tail
            for number in range(len(self._full), count // CHUNK):
                start, stop = number * CHUNK, (number + 1) * CHUNK
                self._full.append(self.convert(start, stop))
                self.release(start, stop)
            done = len(self._full) * CHUNK
            batches = [*self._full, *self.batches(done, count)]
            self._tail = pa.Table.from_batches(batches, arrow_schema(self.table))
            return self._tail


class RowStore(Store):
    """Rows as tuples: for what does not come often.

    :param prepare: makes the columns' values of a row as it was appended
    """

    def __init__(
        self, table: str, lock: threading.RLock, prepare: Callable[[Row], Row] | None = None
    ) -> None:
        super().__init__(table, lock)
        self._rows: list[Row | None] = []
        self._prepare = prepare
        self.append = self._rows.append

    @property
    def count(self) -> int:
        """Rows that may be read: a list's append is one step."""
        return len(self._rows)

    def convert(self, start: int, stop: int) -> pa.RecordBatch:
        """Column by column."""
        import pyarrow as pa

        rows: list[Any] = self._rows[start:stop]
        if self._prepare is not None:
            rows = [self._prepare(row) for row in rows]
        schema = arrow_schema(self.table)
        arrays = []
        for column, field, values in zip(TABLES[self.table], schema, zip(*rows, strict=True), strict=True):
            if column.type == "name":
                arrays.append(pa.array(values, pa.string()).dictionary_encode())
            else:
                arrays.append(pa.array(values, field.type))
        return pa.RecordBatch.from_arrays(arrays, schema=schema)

    def release(self, start: int, stop: int) -> None:
        """Only their places stay."""
        self._rows[start:stop] = [None] * (stop - start)
