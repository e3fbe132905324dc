"""A recording on disk: a folder with one file a table.

While it is open, ``TABLE.arrows``: Arrow's IPC stream format, to which each flush appends batches. When it
is closed, ``TABLE.parquet``, compressed with zstd. Every file has the recording's metadata in its schema.
A table's Parquet file is complete before its stream is removed, so at any moment one of the two holds
everything that was flushed; a stream that ends half way is read as far as its last whole batch.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vfiokit.errors import MissingExtraError, RecordingError
from vfiokit.recording.schema import FORMAT, TABLES, arrow_schema
from vfiokit.recording.stores import Store

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ("OpenFolder", "load_folder", "save_folder")

_OPEN, _CLOSED, _NEW = ".arrows", ".parquet", ".new"
_OURS = frozenset(table + suffix for table in TABLES for suffix in (_OPEN, _CLOSED, _CLOSED + _NEW))
# What Arrow raises for a file that is not as it should be; ArrowInvalid is a ValueError.
_TROUBLE = (OSError, ValueError, KeyError, TypeError, NotImplementedError, MemoryError, OverflowError)


def _arrow() -> Any:
    try:
        import pyarrow
        import pyarrow.ipc
        import pyarrow.parquet
    except ImportError as error:
        raise MissingExtraError("pyarrow", "recording") from error
    return pyarrow


def _schema(table: str, metadata: Mapping[str, str]) -> pa.Schema:
    return arrow_schema(table).with_metadata({key: value.encode() for key, value in metadata.items()})


class OpenFolder:
    """A folder being written.

    :raises RecordingError: it holds something already, or cannot be made
    """

    def __init__(self, path: Path, stores: Mapping[str, Store], metadata: Mapping[str, str]) -> None:
        pa = _arrow()
        self._path = path
        self._stores = stores
        self._done = dict.fromkeys(stores, 0)
        _make(path)
        if any(path.iterdir()):
            raise RecordingError(f"{path}: record into it: it is not empty", hint="name a new folder")
        self._files: dict[str, Any] = {}
        self._writers: dict[str, Any] = {}
        # Of a table of names that grows, only what is new is written.
        options = pa.ipc.IpcWriteOptions(emit_dictionary_deltas=True)
        try:
            for table in stores:
                schema = _schema(table, metadata)
                self._files[table] = pa.OSFile(str(path / (table + _OPEN)), "wb")
                self._writers[table] = pa.ipc.new_stream(self._files[table], schema, options=options)
                # The schema goes out with the first batch: an empty one, so that an empty recording is one.
                self._writers[table].write_batch(pa.RecordBatch.from_pylist([], schema=schema))
        except _TROUBLE as error:
            raise _refused(path, "write", error) from error

    def flush(self) -> None:
        """Append what is new to the streams; RecordingError when it cannot be written."""
        counts = {table: store.count for table, store in self._stores.items()}
        try:
            # Bitmaps, declared last, go first: an access that is there has those it came with.
            for table, store in reversed(list(self._stores.items())):
                for batch in store.batches(self._done[table], counts[table]):
                    self._writers[table].write_batch(batch)
                self._done[table] = counts[table]
        except _TROUBLE as error:
            raise _refused(self._path, "append", error) from error

    def close(self, tables: Mapping[str, pa.Table], metadata: Mapping[str, str]) -> None:
        """Write the tables as Parquet, then remove the streams."""
        try:
            for table in self._writers:
                self._files[table].close()
            _write(self._path, tables, metadata)
            for table in tables:
                (self._path / (table + _OPEN)).unlink(missing_ok=True)
        except _TROUBLE as error:
            raise _refused(self._path, "write Parquet into", error) from error


def save_folder(path: Path, tables: Mapping[str, pa.Table], metadata: Mapping[str, str]) -> None:
    """Write a closed folder; RecordingError when it cannot be, or holds what is not a recording's."""
    _arrow()
    _make(path)
    strange = sorted(entry.name for entry in path.iterdir() if entry.name not in _OURS)
    if strange:
        raise RecordingError(f"{path}: save into it: it holds {strange[0]}", hint="name a new folder")
    try:
        _write(path, tables, metadata)
        for table in tables:
            (path / (table + _OPEN)).unlink(missing_ok=True)
    except _TROUBLE as error:
        raise _refused(path, "write", error) from error


def _make(path: Path) -> None:
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _refused(path, "make the folder", error) from error


def _write(path: Path, tables: Mapping[str, pa.Table], metadata: Mapping[str, str]) -> None:
    """All new files are whole before the first takes its place."""
    pa = _arrow()
    for table, rows in tables.items():
        target = path / (table + _CLOSED + _NEW)
        rows = rows.cast(_schema(table, metadata)) if not len(rows) else rows
        rows = rows.replace_schema_metadata(_schema(table, metadata).metadata)
        pa.parquet.write_table(rows, target, compression="zstd")
    for table in tables:
        (path / (table + _CLOSED + _NEW)).replace(path / (table + _CLOSED))


def load_folder(path: Path) -> tuple[dict[str, pa.Table], dict[str, str]]:
    """Read a folder's tables and metadata; a table without a file is empty.

    :raises RecordingError: it is no recording, or a file is damaged or foreign
    """
    pa = _arrow()
    if not path.is_dir():
        what = "it is no folder" if path.exists() else "there is nothing"
        raise RecordingError(f"{path}: open a recording: {what}", hint="a recording is a folder, as x.vfk")
    found: dict[str, Any] = {}
    metadata: dict[str, str] = {}
    for table in TABLES:
        rows = _read(path, table)
        if rows is not None:
            metadata = metadata or _metadata(path, rows.schema)
            found[table] = rows.replace_schema_metadata(None)
    if not found:
        raise RecordingError(
            f"{path}: open a recording: no table can be read",
            rule=f"a recording holds {', '.join(TABLES)} as {_CLOSED} or {_OPEN}",
            hint="was its writer killed before the first flush?",
        )
    empty = {table: pa.Table.from_batches([], arrow_schema(table)) for table in TABLES if table not in found}
    return {table: {**found, **empty}[table] for table in TABLES}, metadata


def _read(path: Path, table: str) -> pa.Table | None:
    pa = _arrow()
    closed, stream = path / (table + _CLOSED), path / (table + _OPEN)
    file = closed if closed.exists() else stream
    try:
        if file is closed:
            with pa.parquet.ParquetFile(closed, memory_map=True) as parquet:
                # Look at the schema before the rows: a foreign file may be large.
                _check(file, table, parquet.schema_arrow)
                rows = parquet.read()
        elif stream.exists():
            rows = _read_stream(stream, table)
        else:
            return None
        if rows is not None:
            rows.validate(full=True)
    except _TROUBLE as error:
        raise _refused(file, "read", error) from error
    return rows


def _read_stream(file: Path, table: str) -> pa.Table | None:
    """Read whole batches up to the first that is not; None when not even the schema is whole."""
    pa = _arrow()
    if _schema_is_cut(file):
        return None
    with pa.memory_map(str(file)) as source:
        reader = pa.ipc.open_stream(source)
        _check(file, table, reader.schema)
        batches = []
        while True:
            try:
                batch = reader.read_next_batch()
            except StopIteration:
                break
            except (OSError, ValueError):
                break  # cut here, when its writer was killed
            batch.validate(full=True)
            batches.append(batch)
        return pa.Table.from_batches(batches, reader.schema)


def _schema_is_cut(file: Path) -> bool:
    """Does the stream end within its first message? Arrow format, Encapsulated message format."""
    with open(file, "rb") as raw:
        head = raw.read(8)
        if not b"\xff\xff\xff\xff".startswith(head[:4]):
            return False
        length = int.from_bytes(head[4:], "little")
        return len(head) < 8 or 8 + length > os.fstat(raw.fileno()).st_size


def _check(file: Path, table: str, schema: pa.Schema) -> None:
    """RecordingError unless the schema is this table's."""
    version = _metadata(file, schema)["format"]
    wanted = arrow_schema(table)
    if not schema.equals(wanted, check_metadata=False):
        differ = [f.name for f in wanted if f.name not in schema.names or not schema.field(f.name).equals(f)]
        names = ", ".join(differ or schema.names[:5])
        raise RecordingError(
            f"{file}: read it: its columns are not those of {table} in format {version} ({names})"
        )


def _metadata(file: Path, schema: pa.Schema) -> dict[str, str]:
    raw = schema.metadata or {}
    found = {k.decode("utf-8", "replace"): v.decode("utf-8", "replace") for k, v in raw.items()}
    found.pop("ARROW:schema", None)
    if found.get("format") != FORMAT:
        which = f"format {found['format']!r}" if "format" in found else "not a recording of vfiokit"
        maker = f"; made by vfiokit {found['vfiokit']}" if "vfiokit" in found else ""
        raise RecordingError(
            f"{file}: read it: {which}{maker}",
            rule=f"this vfiokit reads format {FORMAT}",
            hint="is it a recording, and of a vfiokit that is not newer?",
        )
    return found


def _refused(path: Path, what: str, error: BaseException) -> RecordingError:
    text = " ".join(str(error).split())[:300]
    return RecordingError(
        f"{path}: {what}: {text or type(error).__name__}",
        hint="is the disk full?" if what != "read" else "is it whole? a copy that was cut cannot be read",
    )
