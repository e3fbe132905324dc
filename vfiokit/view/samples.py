"""The samples of one side, as columns that grow: a live recording's are read once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from vfiokit.recording import Recording

__all__ = ("Samples", "Turn")

_COLUMNS = ("seq", "time_ns", "turn", "total", "threshold", "transferred", "bandwidth", "syncs")


class Turn(NamedTuple):
    """What an estimate needs of a sample; units as in the samples table."""

    time_ns: int
    total: int
    threshold: int
    syncs: int


class Samples:
    """Samples of one side.

    :ivar columns: by name, those of the samples table
    :ivar handlers: by name, RAM first: which samples have a figure of its pending bytes, and the figures
    """

    def __init__(self, recording: Recording, side: str) -> None:
        self.recording, self.side = recording, side
        self._seen = 0
        none = np.zeros(0, np.uint64)
        self.columns: dict[str, NDArray[Any]] = dict.fromkeys(_COLUMNS, none)
        self.columns["time_ns"], self.columns["bandwidth"] = np.zeros(0, np.int64), np.zeros(0)
        self.handlers: dict[str, tuple[NDArray[np.intp], NDArray[np.uint64]]] = {}

    def __len__(self) -> int:
        return len(self.columns["seq"])

    def update(self) -> bool:
        """Read on; return whether anything came."""
        if len(self.recording.samples) == self._seen:
            return False
        new = self.recording.samples.tail(self._seen)
        self._seen += len(new)
        rows = np.flatnonzero(new.column("side") == self.side)
        if not len(rows):
            return False
        before = len(self)
        for name, old in self.columns.items():
            self.columns[name] = np.concatenate([old, new.column(name)[rows]])
        found: dict[str, tuple[list[int], list[int]]] = {}
        for place, sizes in enumerate(new.column("pending")[rows], before):
            for name, size in sizes:
                places, values = found.setdefault(name, ([], []))
                places.append(place)
                values.append(size)
        for name, (places, values) in found.items():
            pair = np.array(places, np.intp), np.array(values, np.uint64)
            if name in self.handlers:
                old_places, old_values = self.handlers[name]
                pair = np.concatenate([old_places, pair[0]]), np.concatenate([old_values, pair[1]])
            self.handlers[name] = pair
        return True

    def last(self, most: int) -> list[Turn]:
        """Return the last samples, at most as many, oldest first."""
        columns = [self.columns[name][-most:].tolist() for name in Turn._fields]
        return [Turn(*row) for row in zip(*columns, strict=True)]
