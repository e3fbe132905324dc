"""The report of a million trace events: how long it takes, how large it is, how soon it can be used."""

from __future__ import annotations

import random
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

from benchmarks.measure import Pair, pair, timed
from vfiokit.accesses import Emit, Enter, Sample
from vfiokit.recording import Recording
from vfiokit.reports import report

MANY = 1_000_000
_ROUND = 250  # events between two turns of the loop
_CHROMIUM = ("chromium", "chromium-browser", "google-chrome")


def many_events() -> Recording:
    """Return a recording of a million events as a long pre-copy gives them, and its turns and states."""
    made = Recording(metadata={"source": "0000:3b:00.1", "downtime_limit_ns": "300000000"})
    chance, now, pending = random.Random(1), 0, 1 << 36

    def put(access: object) -> None:
        made.access("source", access, None, None, now, 0)  # type: ignore[arg-type]

    put(Enter("vm", "running"))
    put(Enter("0000:3b:00.1", "pre-copy"))
    put(Enter("migration", "active"))
    for number in range(MANY // 2):
        now += chance.randrange(20_000, 60_000)
        # The data section is full mostly; what the device has left at the end of a turn is any size.
        size = 1 << 20 if chance.random() < 0.8 else chance.randrange(1, 1 << 20)
        pending = max(0, pending - size) or 1 << 36
        put(Emit("vfio_save_buffer", ("0000:3b:00.1", 0x1000, size, pending)))
        now += chance.randrange(500, 4000)
        put(Emit("vfio_update_pending", ("0000:3b:00.1", pending)))
        if number % _ROUND == 0:
            turn = number // _ROUND
            handlers = (("ram", 0), ("0000:3b:00.1", pending))
            put(Sample(turn, handlers, 1 << 20, 1e9, number << 19, 0, turn))
    return made


def rows() -> Iterator[Pair]:
    """Time against pandas' table of the same events, size against it, and the page against it."""
    recording = many_events()
    with tempfile.TemporaryDirectory() as scratch:
        ours, theirs, parquet = (Path(scratch) / name for name in ("report.html", "table.html", "x.vfk"))
        few = 10_000
        frame = recording.events.to_pandas()

        def table() -> None:
            frame.head(few).to_html(theirs, max_rows=None)

        yield pair(
            "report of 10^6 events / pandas.to_html of 10^4",
            lambda: report(recording, ours, embed=False),
            table,
            rounds=2,
        )
        recording.save(parquet)
        raw = (parquet / "events.parquet").stat().st_size / 1e6
        size = ours.stat().st_size / 1e6
        yield Pair("its size / the events as Parquet", size, raw, raw / size, "{:.2f} MB", "aim under 10 MB")
        yield from _opened(ours, theirs)


def _opened(ours: Path, theirs: Path) -> Iterator[Pair]:
    """Seconds until the page can be used, its own clock, of three; pandas' until it is laid out."""
    browser = next((found for name in _CHROMIUM if (found := shutil.which(name))), None)
    if browser is None:
        return
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        started = playwright.chromium.launch(
            executable_path=browser, args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        )
        page = started.new_page()
        page.set_default_timeout(120_000)

        def ready(file: Path, wait: str) -> float:
            def work() -> None:
                page.goto(f"file://{quote(str(file))}")
                page.wait_for_function(wait)

            return timed(work)

        times = [
            (
                ready(ours, "document.documentElement.dataset.ready"),
                ready(theirs, "document.body.offsetHeight > 0"),
            )
            for _ in range(3)
        ]
        one, other = (sorted(column)[1] for column in zip(*times, strict=True))
        yield Pair(
            "opened and ready / pandas' 10^4 rows", one, other, other / one, "{:.2f} s", "aim under 3 s"
        )
        started.close()
