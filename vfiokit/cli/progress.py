"""Progress of a migration on a terminal: what is done, how fast, how long still."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn, TimeElapsedColumn
from rich.text import Text

from vfiokit.accesses import Enter, Sample, Say
from vfiokit.migration import Report
from vfiokit.units import show_ns, show_rate, show_size

__all__ = ("MigrationProgress",)

_EVERY_S = 0.1


class _Figures(ProgressColumn):
    """Rate, and the time that is left at this rate."""

    def render(self, task: Task) -> Text:
        return Text(task.fields.get("figures", ""), no_wrap=True, overflow="ellipsis")


class MigrationProgress:
    """Shows a migration while it runs; pass `listener` and `between` to it.

    Without a terminal it prints a line for each phase, so that a log can be read.
    """

    def __init__(self, *, quiet: bool = False) -> None:
        self._console = Console(stderr=True)
        self._live = self._console.is_terminal and not quiet
        self._quiet = quiet
        self._sample: Sample | None = None
        self._phase = "setup"
        self._drawn = 0.0
        self._progress = Progress(
            TextColumn("{task.description:<14}"),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[done]:>16}"),
            _Figures(),
            TimeElapsedColumn(),
            console=self._console,
            disable=not self._live,
            transient=False,
        )
        self._task = self._progress.add_task("setup", total=None, done="", figures="")

    def listener(self, access: Sample | Say | Enter) -> None:
        """Take what the source tells."""
        if isinstance(access, Sample):
            self._sample = access
            if self._phase == "pre-copy":
                self._draw()
        elif isinstance(access, Enter) and access.machine == "migration":
            self._enter({"active": "pre-copy", "device": "stop-and-copy"}.get(access.state, access.state))
        elif isinstance(access, Say) and not self._quiet:
            self._progress.console.print(access.text, style="yellow", markup=False, highlight=False)

    def between(self, report: Report) -> None:
        """Redraw now and then."""
        if self._phase == "pre-copy" or report.incoming is None:
            return
        self._draw(f"loaded {show_size(report.incoming.position)}")

    def _enter(self, phase: str) -> None:
        self._phase = phase
        self._drawn = 0.0
        self._draw()
        if not self._live and not self._quiet:
            print(f"{phase}{self._line()}", file=sys.stderr, flush=True)  # noqa: T201

    def _line(self) -> str:
        sample = self._sample
        return f": {show_size(sample.transferred)} sent, {show_size(sample.total)} pending" if sample else ""

    def _draw(self, done: str | None = None) -> None:
        now = time.monotonic()
        sample = self._sample
        if not self._live or now - self._drawn < _EVERY_S:
            return
        self._drawn = now
        if self._phase == "completed":
            self._progress.update(
                self._task, description="completed", total=1, completed=1, done="", figures=""
            )
            return
        figures = ""
        if sample is not None:
            left = sample.total / sample.bandwidth * 1e9 if sample.bandwidth else 0
            figures = (
                f"{show_rate(sample.bandwidth)}  {show_size(sample.total)} pending, "
                f"stops at {show_size(sample.threshold)}  {show_ns(left)} left"
            )
        self._progress.update(
            self._task,
            description=self._phase,
            total=(sample.transferred + sample.total) if sample else None,
            completed=sample.transferred if sample else 0,
            done=done or (f"{show_size(sample.transferred)} sent" if sample else ""),
            figures=figures,
        )

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self._drawn = 0.0
            self._draw()
        self._progress.stop()
