"""What happened in a run, as typed columns: recorded live, read live, kept as Parquet, replayed.

* :class:`Recording` holds it; `Recording.load` opens one
* :class:`Recorder` stands between a flow and its performer and records
* :func:`import_log` makes one of QEMU's log
* :func:`recordings` gathers those of all runs begun within
* :class:`Section` is a stretch of guest memory, told before the first access
* :class:`Step` is one access of it, rebuilt, for replay
* :mod:`vfiokit.recording.bitmaps` works on dirty bitmaps

Errors are :class:`vfiokit.errors.RecordingError`.
"""

from vfiokit.recording.imported import import_log
from vfiokit.recording.recorder import Recorder
from vfiokit.recording.recording import Recording
from vfiokit.recording.replay import Step
from vfiokit.recording.schema import TABLES, Column
from vfiokit.recording.sections import Section
from vfiokit.recording.tables import Table
from vfiokit.recording.wanted import Record, gathered, recording_to, recordings

__all__ = (  # noqa: RUF022  most to least important
    "Recording",
    "Recorder",
    "Table",
    "Step",
    "Section",
    "Column",
    "TABLES",
    "Record",
    "recordings",
    "recording_to",
    "gathered",
    "import_log",
)
