"""Records as a pandas frame."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from vfiokit.errors import MissingExtraError
from vfiokit.trace.grammar import Event
from vfiokit.trace.record import Record

if TYPE_CHECKING:
    import pandas as pd

__all__ = ("to_frame",)

_COLUMNS = ("time_ns", "time", "thread", "event", "text")


def to_frame(records: Iterable[Record], event: Event | None = None, *, text: bool = True) -> pd.DataFrame:
    """Return one row a record.

    * ``time_ns`` Int64, Unix time in nanoseconds
    * ``time`` the same as datetime64[ns], UTC
    * ``thread`` Int64, the kernel's thread id
    * ``event`` category, the name
    * ``text`` what QEMU would print; left out if not *text*

    With *event*, only its records, and one column more for each argument, by its name, in the argument's own
    type: ``uint64`` for a ``uint64_t``, strings as objects. An argument that is named as one of the columns
    above becomes ``arg_NAME``.

    :raises MissingExtraError: pandas is not installed
    """
    try:
        import numpy as np
        import pandas as pd
    except ImportError as error:
        raise MissingExtraError("pandas", "pandas") from error

    chosen = [record for record in records if event is None or record.event.name == event.name]
    times = pd.array([record.time_ns for record in chosen], dtype="Int64")
    columns: dict[str, object] = {
        "time_ns": times,
        "time": pd.to_datetime(pd.Series(times, dtype="Int64"), unit="ns", utc=True),
        "thread": pd.array([record.thread for record in chosen], dtype="Int64"),
        "event": pd.Categorical([record.event.name for record in chosen]),
    }
    if text:
        columns["text"] = pd.Series([record.text for record in chosen], dtype=object)
    for at, argument in enumerate(event.arguments if event else ()):
        type_ = argument.type
        name = f"arg_{argument.name}" if argument.name in _COLUMNS else argument.name
        values = [record.args[at] if at < len(record.args) else None for record in chosen]
        if type_.is_text or None in values:
            columns[name] = pd.Series(values, dtype=object)
        else:
            signed = type_.signed and not type_.stars
            columns[name] = np.array(values, dtype=f"{'int' if signed else 'uint'}{type_.bits}")
    return pd.DataFrame(columns)
