"""The recording in its report: a zip of the .vfk folder, not compressed again, as its Parquet is.

It is read back with :func:`extract`, or in a browser with the report's button, then unzipped.
"""

from __future__ import annotations

import base64
import binascii
import io
import re
import tempfile
import zipfile
from pathlib import Path

from vfiokit.errors import RecordingError
from vfiokit.recording import TABLES, Recording

__all__ = ("BLOCK", "extract", "zipped")

BLOCK = "vfiokit-recording"
"""Id of the script element that holds the zip, as base64."""

_ELEMENT = re.compile(rb'<script type="application/zip" id="vfiokit-recording">([A-Za-z0-9+/=]*)</script>')
_NAMES = {f"{table}.parquet" for table in TABLES}
_STAMP = (1980, 1, 1, 0, 0, 0)  # the same recording gives the same zip


def zipped(recording: Recording) -> bytes:
    """Return the recording's folder as a zip.

    :raises RecordingError: it cannot be written
    """
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "recording.vfk"
        recording.save(folder)
        made = io.BytesIO()
        with zipfile.ZipFile(made, "w", zipfile.ZIP_STORED) as archive:
            for file in sorted(folder.iterdir()):
                archive.writestr(zipfile.ZipInfo(f"recording.vfk/{file.name}", _STAMP), file.read_bytes())
        return made.getvalue()


def extract(report: Path | str, path: Path | str) -> Recording:
    """Write the recording that is in a report to the folder *path*, and open it.

    :raises RecordingError: there is none in it, it is damaged, or the folder holds something
    """
    try:
        found = _ELEMENT.search(Path(report).read_bytes())
    except OSError as error:
        raise RecordingError(f"read the report {report}: {error.strerror}") from error
    if found is None:
        raise RecordingError(
            f"{report}: no recording is in it", hint="a large one is kept beside its report, as a .vfk folder"
        )
    target = Path(path)
    if target.exists() and any(target.iterdir() if target.is_dir() else [target]):
        raise RecordingError(f"{path}: extract into it: it holds something", hint="name a new folder")
    try:
        files = _files(base64.b64decode(found[1], validate=True))
        target.mkdir(parents=True, exist_ok=True)
        for name, data in files.items():
            (target / name).write_bytes(data)
    except (zipfile.BadZipFile, binascii.Error, ValueError) as error:
        raise RecordingError(f"{report}: the recording in it is damaged: {error}") from error
    except OSError as error:
        raise RecordingError(f"write the recording {path}: {error.strerror}") from error
    return Recording.load(target)


def _files(data: bytes) -> dict[str, bytes]:
    """Return the tables of a zip by file name; whatever else is in it is refused."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        found = {}
        for entry in archive.infolist():
            name = entry.filename.removeprefix("recording.vfk/")
            # Stored as it is, so that a few bytes cannot become gigabytes.
            if name not in _NAMES or entry.compress_type != zipfile.ZIP_STORED:
                raise ValueError(f"{entry.filename!r} is no table of a recording")
            found[name] = archive.read(entry)
        return found
