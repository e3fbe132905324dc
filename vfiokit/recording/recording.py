"""What happened in a run, as typed columns: accesses, events, samples, states, bitmaps and more.

    recording = Recording("bringup.vfk", metadata={"device": "vfio:0000:3b:00.1"})
    recorder = Recorder(side.host, recording, "source", side.host.clock)
    run(flow, recorder)
    recording.close()

One thread appends; any number read at the same time, and see a prefix of what was appended. With a path,
rows go to disk when `flush` is called and every 16384 accesses; `close` makes Parquet of them. Without
one the recording is in memory; `save` writes it.
"""

from __future__ import annotations

import platform
import threading
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from vfiokit.accesses import Access
from vfiokit.errors import RecordingError, VfioError
from vfiokit.recording.arguments import join, split
from vfiokit.recording.bitmaps import count
from vfiokit.recording.folder import OpenFolder, load_folder, save_folder
from vfiokit.recording.frequent import Append
from vfiokit.recording.packed import AccessStore
from vfiokit.recording.replay import Step, steps
from vfiokit.recording.schema import BESIDE, FORMAT, TABLES
from vfiokit.recording.sections import Section
from vfiokit.recording.stores import Row, RowStore, Store
from vfiokit.recording.tables import Fixed, Table
from vfiokit.recording.writers import Writers
from vfiokit.version import __version__

if TYPE_CHECKING:
    from vfiokit.trace import EventSet, Record

__all__ = ("Recording",)


class Recording:
    """What happened in a run.

    :param path: a folder to be made, "x.vfk"; None to stay in memory
    :param with_data: keep bulk data too: device state, guest pages, the stream
    :param hash_data: hash bulk data (xxh3_64, some 30 GB/s)
    :param metadata: anything to be kept with it, text to text
    :raises RecordingError: the folder cannot be made, or holds something
    :ivar metadata: what is told of the run; entries made after the start are in the files once closed
    """

    accesses: Table
    events: Table
    samples: Table
    states: Table
    messages: Table
    bitmaps: Table
    blocks: Table
    failures: Table

    def __init__(
        self,
        path: Path | str | None = None,
        *,
        with_data: bool = False,
        hash_data: bool = True,
        metadata: Mapping[str, str] | None = None,
    ) -> None:
        self._lock = threading.RLock()
        self.metadata = {**_about(), **{str(k): str(v) for k, v in (metadata or {}).items()}}
        self.metadata["with_data"] = "yes" if with_data else "no"
        packed = AccessStore(self._lock)
        prepared = {"events": _event_columns, "bitmaps": _bitmap_columns}
        rows = {name: RowStore(name, self._lock, prepared.get(name)) for name in TABLES if name != "accesses"}
        self._stores: dict[str, Store] = {"accesses": packed, **rows}
        self._set_tables({name: Table(name, store) for name, store in self._stores.items()})
        self._writers: Writers | None = Writers(
            packed, rows, with_data=with_data, hash_data=hash_data, full=self._flush_if_free
        )
        self._last = -1
        self._failure: RecordingError | None = None
        self.path = Path(path) if path is not None else None
        self._folder = OpenFolder(self.path, self._stores, self.metadata) if self.path is not None else None

    def _set_tables(self, tables: dict[str, Table]) -> None:
        self.tables = tables
        for name, table in tables.items():
            setattr(self, name, table)

    @classmethod
    def load(cls, path: Path | str) -> Recording:
        """Open a folder to read: a closed one, or one whose writer was killed, as far as it was flushed.

        :raises RecordingError: it is none, is damaged, or was made in another format
        """
        self = cls.__new__(cls)
        rows, self.metadata = load_folder(Path(path))
        self._lock = threading.RLock()
        self._stores, self._writers, self._folder, self._failure = {}, None, None, None
        self.path = Path(path)
        self._set_tables({name: Table(name, Fixed(table)) for name, table in rows.items()})
        counted = (table for name, table in self.tables.items() if name not in BESIDE)
        lasts = [int(table.column("seq")[-1]) for table in counted if len(table)]
        self._last = max(lasts, default=-1)
        return self

    @property
    def seq(self) -> int:
        """Number of the last access, over all tables; -1 before the first."""
        return self._last if self._writers is None else self._writers.next_seq - 1

    def access(
        self,
        side: str,
        access: Access,
        result: Any,
        error: VfioError | None,
        time_ns: int,
        duration_ns: int,
    ) -> None:
        """Append what came of one access: its result, or its error.

        :raises RecordingError: it does not fit, or the recording is closed or was loaded
        """
        if self._writers is None:
            raise self._read_only()
        self._writers.append(side, access, result, error, time_ns, duration_ns)

    def place(self, side: str, sections: Iterable[Section], time_ns: int) -> None:
        """Tell where guest memory of *side* lies, as known before the next access.

        :raises RecordingError: a section cannot be, or the recording is closed or was loaded
        """
        if self._writers is None:
            raise self._read_only()
        for section in sections:
            self._writers.place(side, section, time_ns)

    def fail(self, side: str | None, error: VfioError, time_ns: int) -> None:
        """Tell what ended the flow of *side*, or the run: an error that no access came back with, too.

        :raises RecordingError: the recording is closed or was loaded
        """
        if self._writers is None:
            raise self._read_only()
        self._writers.fail(side, error, time_ns)

    def fast_path(self, side: str) -> tuple[int, dict[type, Append]]:
        """Return the side's number and the functions that append, for :class:`Recorder`."""
        if self._writers is None:
            raise self._read_only()
        return self._writers.accesses.sides[side], self._writers.by_type

    def _read_only(self) -> RecordingError:
        return RecordingError(
            f"{self.path or 'this recording'} is closed or was loaded: nothing more can be recorded",
            hint="make a new Recording",
        )

    # Reading

    def steps(self, side: str) -> Iterator[Step]:
        """Yield what happened on *side*, in order: each access rebuilt, with its result or error.

        Of a recording whose writer was killed, as far as nothing is missing.
        """
        return steps(self.tables, side)

    def results(self, side: str) -> Iterator[tuple[str, Any]]:
        """Yield (kind, result or error) of each access of *side*, to be fed to the same flow.

        Data that was not kept is stood in for: see :mod:`vfiokit.recording.replay`.
        """
        return ((step.kind, step.result if step.error is None else step.error) for step in self.steps(side))

    def records(self, events: EventSet | None = None, side: str | None = None) -> Iterator[Record]:
        """Yield the trace events as records, which format themselves when asked to.

        :param events: the declarations; the v5 events if not given
        :raises TraceError: an event is not declared
        """
        from vfiokit.trace import Record, load

        declared = events if events is not None else load("v5")
        for row in self.events:
            if side is None or row.side == side:
                args = join(row.signature, row.args, row.texts)
                yield Record(row.time_ns, row.thread, declared.event(row.name), args)

    # Keeping

    def flush(self) -> None:
        """Hand what was recorded to the kernel: a process killed after it loses nothing before it.

        :raises RecordingError: it cannot be written; what was flushed before stays
        """
        with self._lock:
            if self._failure is not None:
                raise self._failure
            if self._folder is not None:
                self._folder.flush()

    def _flush_if_free(self) -> None:
        # In the thread that records: it does not wait for a reader, and a full disk does not end a run.
        if self._folder is None or self._failure is not None or not self._lock.acquire(blocking=False):
            return
        try:
            self._folder.flush()
        except RecordingError as error:
            self._failure = error
        finally:
            self._lock.release()

    def save(self, path: Path | str) -> None:
        """Write all that is there now as a closed folder; one of a recording is replaced.

        :raises RecordingError: it cannot be written, or would replace something else
        """
        target = Path(path)
        if self._folder is not None and self.path is not None and target.resolve() == self.path.resolve():
            raise RecordingError(f"{path} is being written by this recording", hint="close() it")
        with self._lock:
            save_folder(target, {name: t.to_arrow() for name, t in self.tables.items()}, self.metadata)

    def close(self) -> None:
        """End the recording; its folder becomes Parquet. It can be read on; twice is allowed.

        :raises RecordingError: it cannot be written; what was flushed stays
        """
        with self._lock:
            if self._writers is None:
                return
            self._last = self._writers.next_seq - 1
            self._writers.by_type.clear()  # a Recorder is told, too
            self._writers = None
            self._set_tables({name: Table(name, Fixed(t.to_arrow())) for name, t in self.tables.items()})
            self._stores = {}
            if self._folder is not None:
                folder, self._folder = self._folder, None
                folder.close({name: table.to_arrow() for name, table in self.tables.items()}, self.metadata)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        counts = ", ".join(f"{len(table)} {name}" for name, table in self.tables.items())
        return f"<Recording {self.path or 'in memory'}: {counts}>"


def _about() -> dict[str, str]:
    return {
        "format": FORMAT,
        "vfiokit": __version__,
        "python": platform.python_version(),
        "kernel": platform.release(),
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _event_columns(row: Row) -> Row:
    *head, args = row
    return (*head, *split(args))


def _bitmap_columns(row: Row) -> Row:
    *head, pages, page_size, bitmap = row
    return (*head, pages, page_size, pages if bitmap is None else count(bitmap, pages), bitmap)
