"""Recording a migration, reading ten million accesses, and a terabyte's dirty bitmap."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from benchmarks.measure import Pair, pair
from vfiokit import accesses as a
from vfiokit.addresses import open_device
from vfiokit.clock import SimulatedClock
from vfiokit.recording import Recorder, Recording, bitmaps
from vfiokit.recording.folder import save_folder
from vfiokit.runner import Task, run_together
from vfiokit.side import Side
from vfiokit.streams import Pipe
from vfiokit.vmm.incoming import migrate_in
from vfiokit.vmm.outgoing import migrate_out

MANY = 10_000_000
MEMORY = 64 << 20
PAGES = (1 << 40) // 4096
SOURCE = "emulated:v5?state=64M&dirty=40M/s"


def migrate(recording: Recording | None) -> None:
    """Migrate an emulated device and 64 MiB of memory; with a recording, both sides go into it."""
    pipe = Pipe()
    with open_device(SOURCE) as one, open_device("emulated:v5?state=64M") as two:
        clock = getattr(one, "clock", None) or SimulatedClock()
        common = {"memory": MEMORY, "clock": clock, "simulated": True}
        with Side([one], sink=pipe, **common) as here, Side([two], source=pipe, **common) as there:
            performers = [here.host, there.host]
            if recording is not None:
                performers = [
                    Recorder(host, recording, side, clock)
                    for host, side in zip(performers, ("source", "destination"), strict=True)
                ]
            here.plug()
            there.plug()
            here.fill()
            Task(here.vm.start(), performers[0]).run()
            out = Task(migrate_out(here.vm, transferred=lambda: here.host.transferred), performers[0])
            into = Task(migrate_in(there.vm), performers[1])
            run_together(out, into, backlog=lambda: pipe.backlog, done=pipe.close)
            assert into.done


def many_accesses(folder: Path) -> None:
    """Write a recording of ten million register accesses."""
    import pyarrow as pa

    few = Recording()
    for number in range(100_000):
        register = a.Read("0000:3b:00.1", 9, 8 * (number % 7), 8, f"register{number % 7}")
        few.access("source", register, number << 40, None, number * 1000, 700)
    tables = {name: table.to_arrow() for name, table in few.tables.items()}
    tables["accesses"] = pa.concat_tables([tables["accesses"]] * (MANY // 100_000))
    save_folder(folder, tables, few.metadata)


def rows() -> Iterator[Pair]:
    """A run, the reading of many accesses, a bitmap."""
    for text, options in (("", {}), (", without hashes", {"hash_data": False})):
        yield pair(
            f"migrate 64 MiB, recorded in memory{text} / not recorded",
            lambda options=options: migrate(Recording(**options)),
            lambda: migrate(None),
            rounds=9,
            aim="aim 0.91",
        )
    with tempfile.TemporaryDirectory() as scratch:
        folders = (Path(scratch) / f"{number}.vfk" for number in range(100))
        yield pair(
            "migrate 64 MiB, recorded to disk and closed / not recorded",
            lambda: _to_disk(next(folders)),
            lambda: migrate(None),
            rounds=9,
        )
        folder = Path(scratch) / "many.vfk"
        many_accesses(folder)

        def ours() -> None:
            assert len(Recording.load(folder).accesses.to_pandas()) == MANY

        def bare() -> None:
            import pyarrow.parquet as pq

            assert pq.ParquetFile(folder / "accesses.parquet").read().num_rows == MANY

        yield pair("10^7 accesses to pandas / read as Arrow only", ours, bare, rounds=3)
    yield from _bitmaps()


def _to_disk(folder: Path) -> None:
    with Recording(folder) as recording:
        migrate(recording)


def _bitmaps() -> Iterator[Pair]:
    import numpy as np

    bitmap = os.urandom(PAGES // 8)
    words = np.frombuffer(bitmap, np.uint64)

    def reduced() -> None:
        cells = bitmaps.grid(bitmap, PAGES, 512, 512)
        assert int(cells.sum()) > 0

    scale, unit = 1e3, "{:.2f} ms"
    text = "bitmap of 1 TiB (32 MiB) "
    yield pair(
        text + "counted and reduced / summed",
        reduced,
        words.sum,
        rounds=21,
        scale=scale,
        unit=unit,
        aim="aim 0.5",
    )
    yield pair(
        text + "counted / summed",
        lambda: bitmaps.count(bitmap, PAGES),
        words.sum,
        rounds=21,
        scale=scale,
        unit=unit,
    )
    yield pair(
        text + "to 500 x 333 / summed",
        lambda: bitmaps.grid(bitmap, PAGES, 500, 333),
        words.sum,
        scale=scale,
        unit=unit,
    )
