"""What happened in a run, as typed columns: recorded live, read live, kept as Parquet, replayed.

* :class:`Recording` holds it; `Recording.load` opens one
* :class:`Recorder` stands between a flow and its performer and records
* :class:`Step` is one access of it, rebuilt, for replay
* :mod:`vfiokit.recording.bitmaps` works on dirty bitmaps

Errors are :class:`vfiokit.errors.RecordingError`.
"""

from vfiokit.recording.recorder import Recorder
from vfiokit.recording.recording import Recording
from vfiokit.recording.replay import Step
from vfiokit.recording.schema import TABLES, Column
from vfiokit.recording.tables import Table

__all__ = ("Recording", "Recorder", "Table", "Step", "Column", "TABLES")  # noqa: RUF022  most to least important
