"""When the access of a number was: its place on the time axis that all pictures of a recording share."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vfiokit.view.picture import origin_ns, row_until

if TYPE_CHECKING:
    from vfiokit.recording import Recording

__all__ = ("time_of",)


def time_of(recording: Recording, seq: int) -> float:
    """Return when the last access up to number *seq* began, ns since the first record; 0 before the first."""
    newest, found = -1, 0
    for table in recording.tables.values():
        row = row_until(table, seq) - 1
        if row >= 0:
            rows = table.to_arrow()
            number = rows["seq"][row].as_py()
            if number > newest:
                newest, found = number, rows["time_ns"][row].as_py() - origin_ns(recording)
    return float(found)
