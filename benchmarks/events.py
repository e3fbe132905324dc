"""A trace event, enabled and disabled, against calling a function that does nothing."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.measure import Pair, pair
from vfiokit.trace import Tracer, load

COUNT = 100_000


def rows() -> Iterator[Pair]:
    """vfio_save_buffer, four arguments."""

    def nothing(*args: object) -> None:
        pass

    def bare() -> None:
        for number in range(COUNT):
            nothing("0000:3b:00.1", 0x1000, 0x100000, number)

    for text, pattern in (("enabled", "*"), ("disabled", "-vfio_save_buffer")):
        probe = Tracer(load("v5"), [pattern]).probe("vfio_save_buffer")

        def ours(probe: object = probe) -> None:
            for number in range(COUNT):
                probe("0000:3b:00.1", 0x1000, 0x100000, number)  # type: ignore[operator]

        yield pair(f"a trace event, {text} / an empty call", ours, bare, scale=1e9 / COUNT, unit="{:.0f} ns")
