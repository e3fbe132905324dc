"""A table of a recording, for readers: columns as numpy arrays, rows, pandas, Arrow.

A live table shows what is there now, always a prefix of what was recorded; look again for more. Reading
does not disturb the thread that records.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Protocol, overload

from vfiokit.errors import MissingExtraError, RecordingError
from vfiokit.recording.schema import TABLES, Column, row_type

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    import pyarrow as pa
    from numpy.typing import NDArray

__all__ = ("Fixed", "Table")

_NUMBERS = {"u64": "uint64", "i64": "int64", "i32": "int32", "f64": "float64"}


class Source(Protocol):
    """Where a table's rows are."""

    @property
    def count(self) -> int:
        """Rows."""
        ...

    def arrow(self) -> pa.Table:
        """All of them."""
        ...


class Fixed:
    """Rows that were loaded."""

    def __init__(self, rows: pa.Table) -> None:
        self._rows = rows

    @property
    def count(self) -> int:
        """Rows."""
        return int(self._rows.num_rows)

    def arrow(self) -> pa.Table:
        """All of them."""
        return self._rows


class Table:
    """One table; see ``columns`` for what is in it."""

    def __init__(self, name: str, source: Source) -> None:
        self.name = name
        self._source = source

    @property
    def columns(self) -> tuple[Column, ...]:
        """The columns: name, type, unit, meaning."""
        return TABLES[self.name]

    def __len__(self) -> int:
        return self._source.count

    def __repr__(self) -> str:
        return f"<Table {self.name}: {len(self)} rows of {', '.join(c.name for c in self.columns)}>"

    def to_arrow(self) -> pa.Table:
        """Return the rows that are there now as an Arrow table."""
        return self._source.arrow()

    def tail(self, start: int) -> Table:
        """Return the rows from *start* on as they are now: a table that does not grow.

        Its columns have one length, whatever is appended, and cost what is in them: a reader that comes
        again keeps ``start += len(tail)``.
        """
        return Table(self.name, Fixed(self.to_arrow().slice(start)))

    def take(self, numbers: NDArray[np.integer[Any]]) -> Table:
        """Return some rows as they are now, by their numbers: a table that does not grow."""
        return Table(self.name, Fixed(self.to_arrow().take(numbers)))

    def to_pandas(self) -> pd.DataFrame:
        """Return the rows that are there now as a frame.

        64-bit numbers stay exact: where a number may be missing the column is pandas' nullable UInt64,
        Int64 or Int32. Names are categories.

        :raises MissingExtraError: pandas is not installed
        """
        try:
            import pandas as pd
        except ImportError as error:
            raise MissingExtraError("pandas", "pandas") from error
        rows = self.to_arrow()
        frame: dict[str, Any] = {}
        for column in self.columns:
            values = rows[column.name]
            if column.type in _NUMBERS and column.nullable:
                missing = values.is_null().to_numpy() if values.null_count else self._none(len(values))
                frame[column.name] = pd.arrays.IntegerArray(_numbers(values, column), missing)
            else:
                frame[column.name] = values.to_pandas()
        return pd.DataFrame(frame, copy=False)

    @staticmethod
    def _none(count: int) -> NDArray[np.bool_]:
        import numpy as np

        return np.zeros(count, np.bool_)

    def _column(self, name: str) -> Column:
        for column in self.columns:
            if column.name == name:
                return column
        raise RecordingError(
            f"the table {self.name} has no column {name!r}", hint=", ".join(c.name for c in self.columns)
        )

    def column(self, name: str) -> NDArray[Any]:
        """Return a column as it is now: numbers in their own type, everything else as objects.

        A number that is missing is 0 and `valid` tells it; another missing value is None.

        :raises RecordingError: there is no such column
        """
        import numpy as np

        column, values = self._column(name), self.to_arrow()[name]
        if column.type in _NUMBERS:
            return _numbers(values, column)
        if column.type in ("name", "text"):
            # As plain strings: of a dictionary without entries Arrow cannot take "missing".
            array: NDArray[Any] = values.cast("string").to_numpy(zero_copy_only=False)
            return array
        objects = np.empty(len(values), object)
        objects[:] = _python(values, column)
        return objects

    def valid(self, name: str) -> NDArray[np.bool_]:
        """Return where a column has a value."""
        self._column(name)
        mask: NDArray[np.bool_] = self.to_arrow()[name].is_valid().to_numpy()
        return mask

    def rows(self, start: int = 0, stop: int | None = None, columns: tuple[str, ...] = ()) -> Iterator[Any]:
        """Yield rows [start, stop) of those that are there now, as NamedTuples.

        :param columns: only these; the others are None, which is faster
        """
        rows = self.to_arrow()
        make = row_type(self.name)._make
        stop = len(rows) if stop is None else min(stop, len(rows))
        for first in range(start, stop, 1024):
            part = rows.slice(first, min(1024, stop - first))
            lists = [
                _python(part[c.name], c) if not columns or c.name in columns else [None] * len(part)
                for c in self.columns
            ]
            yield from map(make, zip(*lists, strict=True))

    def __iter__(self) -> Iterator[Any]:
        return self.rows()

    @overload
    def __getitem__(self, index: int) -> Any: ...
    @overload
    def __getitem__(self, index: slice) -> list[Any]: ...
    def __getitem__(self, index: int | slice) -> Any:
        """Return a row as a NamedTuple, or a list of them."""
        count = len(self)
        if isinstance(index, slice):
            start, stop, step = index.indices(count)
            if step != 1:
                return [self[number] for number in range(start, stop, step)]
            return list(self.rows(start, stop))
        if not -count <= index < count:
            raise IndexError(f"row {index} of {count}")
        index %= count
        return next(self.rows(index, index + 1))


def _numbers(values: Any, column: Column) -> NDArray[Any]:
    import numpy as np

    if values.null_count:
        values = values.fill_null(0)
    # One chunk is a view of Arrow's memory.
    chunk = values.chunk(0) if values.num_chunks == 1 else values
    numbers: NDArray[Any] = chunk.to_numpy().astype(np.dtype(_NUMBERS[column.type]), copy=False)
    return numbers


def _python(values: Any, column: Column) -> list[Any]:
    found: list[Any] = values.to_pylist()
    if column.type == "sizes":
        return [tuple((pair["name"], pair["bytes"]) for pair in sizes) for sizes in found]
    if column.type in ("u64s", "texts"):
        return [tuple(items) for items in found]
    return found
