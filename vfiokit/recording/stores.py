"""Where a live recording's rows are until somebody looks: appended by one thread, converted by readers.

A store publishes ``count`` last, so a reader sees whole rows only, and a prefix of them. Readers turn
ranges of rows into Arrow record batches under a lock of their own, which the writer never takes. Every row
is converted once, so that a look costs what is new since the last one; pieces that looks left are joined as
they come to be of like size, and a full chunk is one piece.
"""

from __future__ import annotations

import threading
from bisect import bisect_right
from collections.abc import Callable, Iterator
from itertools import accumulate
from typing import TYPE_CHECKING, Any

from vfiokit.recording.schema import TABLES, arrow_schema

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ("CHUNK", "Names", "RowStore", "Store")

CHUNK = 1 << 14  # rows
_JOINED = 4 << 20  # bytes of rows that are joined: of long bitmaps, a copy costs more than a piece

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
        self._pieces: list[pa.RecordBatch] = []  # converted, in order; none reaches over a chunk's end
        self._ends: list[int] = []  # of each, the row after its last
        self._table: pa.Table | None = None

    @property
    def count(self) -> int:
        """Rows that may be read."""
        raise NotImplementedError

    def convert(self, start: int, stop: int) -> pa.RecordBatch:
        """Make a batch of rows within one chunk that was not let go."""
        raise NotImplementedError

    def release(self, start: int, stop: int) -> None:
        """Let rows within one chunk go that were converted; those before them were let go."""
        raise NotImplementedError

    def batches(self, start: int, stop: int) -> Iterator[pa.RecordBatch]:
        """Yield rows [start, stop) as batches; hold the lock meanwhile."""
        number = bisect_right(self._ends, start)
        while start < stop:
            if number < len(self._ends):
                last = min(stop, self._ends[number])
                piece = self._pieces[number]
                yield piece.slice(piece.num_rows - (self._ends[number] - start), last - start)
                number += 1
            else:
                last = min(stop, (start // CHUNK + 1) * CHUNK)
                yield self.convert(start, last)
            start = last

    def arrow(self) -> pa.Table:
        """Return the rows that are there now; what it costs is what came since the last time."""
        import pyarrow as pa

        with self.lock:
            count = self.count
            done = self._ends[-1] if self._ends else 0
            if self._table is None or done < count:
                while done < count:
                    stop = min(count, (done // CHUNK + 1) * CHUNK)
                    self._pieces.append(self.convert(done, stop))
                    self._ends.append(stop)
                    self.release(done, stop)
                    self._join()
                    done = stop
                self._table = pa.Table.from_batches(self._pieces, arrow_schema(self.table))
            return self._table

    def _join(self) -> None:
        """Join the last pieces of a chunk that are of like size; all of them when it is full."""
        import pyarrow as pa

        end = self._ends[-1]
        chunk = (end - 1) // CHUNK * CHUNK
        first = len(self._pieces) - 1
        rows, size = self._pieces[first].num_rows, self._pieces[first].nbytes
        while first and self._ends[first - 1] > chunk:
            before = self._pieces[first - 1]
            size += before.nbytes
            if size > _JOINED or (before.num_rows > 2 * rows and end % CHUNK):
                break
            rows += before.num_rows
            first -= 1
        if first < len(self._pieces) - 1:
            joined = pa.Table.from_batches(self._pieces[first:]).combine_chunks().to_batches()
            self._pieces[first:] = joined
            ends = accumulate((piece.num_rows for piece in joined), initial=end - rows)
            self._ends[first:] = list(ends)[1:]


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
