"""Accesses and trace events as the timeline's marks: columns of a Bokeh source, made from rows of a table."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from vfiokit.view.picture import texts
from vfiokit.view.theme import brief, exact, exact_ns, plain

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from vfiokit.recording.tables import Table

__all__ = ("COLUMNS", "of_accesses", "of_events", "spread")

COLUMNS = ("seq", "lane", "x", "end", "what", "time", "for", "text")
_LONGEST = 24  # letters of a lane's name
_SIDES = {"source": "src", "destination": "dst"}


def of_accesses(rows: Table, origin: int) -> tuple[dict[str, NDArray[Any]], NDArray[np.bool_]]:
    """Return the accesses' columns, and which of them were refused.

    :param origin: the time that is called 0, ns
    """
    took, sides = rows.column("duration_ns"), texts(rows, "side")
    values, known = rows.column("value").tolist(), rows.valid("value").tolist()
    errors, messages = texts(rows, "error"), texts(rows, "message")
    refused = np.array([error is not None for error in errors], np.bool_)
    told = [exact(value) if there else "—" for value, there in zip(values, known, strict=True)]
    for k in np.flatnonzero(refused):
        told[k] = plain(f"{errors[k]}: {messages[k] or ''}")
    kinds = _each(texts(rows, "kind"), texts(rows, "what"), make=lambda kind, what: f"{kind} {what or ''}")
    columns = _columns(rows, origin, texts(rows, "device").tolist(), sides)
    columns["end"] = columns["x"] + took
    return columns | {
        "what": kinds,
        "for": _each(took.tolist(), make=exact_ns),
        "text": _objects(told),
    }, refused


def of_events(rows: Table, origin: int, devices: set[str]) -> dict[str, NDArray[Any]]:
    """Return the trace events' columns.

    :param origin: the time that is called 0, ns
    :param devices: those that are known; none when the recording has trace events alone
    """
    signatures, strings = texts(rows, "signature"), rows.column("texts")
    # An event that begins with a string begins with its device, or with a region (QEMU hw/vfio/trace-events).
    named = [
        words[0] if signature.startswith("s") and words and (words[0] in devices or not devices) else None
        for signature, words in zip(signatures, strings, strict=True)
    ]
    told = [
        plain(", ".join([*map(str, words), *(f"{number:#x}" for number in args)]))
        for words, args in zip(strings, rows.column("args"), strict=True)
    ]
    columns = _columns(rows, origin, named, texts(rows, "side"))
    columns["end"] = columns["x"]
    none = _objects([exact_ns(0)] * len(rows))
    return columns | {"what": _each(texts(rows, "name"), make=plain), "for": none, "text": _objects(told)}


def spread(times: NDArray[np.int64], most: int, wanted: Iterable[int] = ()) -> NDArray[np.int64]:
    """Return the numbers of at most *most* rows, rising: all if there are few.

    Those *wanted* first, then half of the others even over time, and the rest even over the rows: neither
    a long silence nor a burst has all of them.

    :param times: of the rows, ns, rising
    """
    count = len(times)
    if count <= most:
        return np.arange(count)
    first = np.fromiter(wanted, np.int64)[:most]
    over_time = np.searchsorted(times, np.linspace(times[0], times[-1], (most - len(first)) // 2))
    chosen = np.union1d(first, over_time)
    rest = np.setdiff1d(np.arange(count), chosen)
    return np.union1d(chosen, rest[np.linspace(0, len(rest) - 1, most - len(chosen)).astype(np.int64)])


def _columns(rows: Table, origin: int, devices: list[str | None], sides: Any) -> dict[str, NDArray[Any]]:
    times = rows.column("time_ns") - origin
    return {
        "seq": rows.column("seq").astype(float),
        "x": times.astype(float),
        "time": _objects([exact_ns(time) for time in times.tolist()]),
        "lane": _each(devices, sides, make=_lane),
    }


def _lane(device: str | None, side: str) -> str:
    return f"{brief(device or 'vmm', _LONGEST)} ({_SIDES.get(side, plain(side))})"


def _each(*columns: Iterable[Any], make: Any) -> NDArray[Any]:
    """Return what *make* makes of each row of a few columns, once for those that are the same."""
    made: dict[Any, str] = {}
    rows = list(zip(*columns, strict=True))
    for row in rows:
        if row not in made:
            made[row] = plain(make(*row))
    return _objects([made[row] for row in rows])


def _objects(values: Sequence[str]) -> NDArray[Any]:
    made = np.empty(len(values), object)
    made[:] = values
    return made
