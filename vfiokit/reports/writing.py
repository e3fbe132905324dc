"""A page on disk: whole, or not at all."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from vfiokit.errors import RecordingError

__all__ = ("write_page",)


def write_page(path: Path, html: str) -> Path:
    """Write *html* under a temporary name, then give it its own; one that is there is replaced.

    :raises RecordingError: it cannot be written; what was there stays
    """
    try:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".new")
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(html)
            mask = os.umask(0)
            os.umask(mask)
            Path(name).chmod(0o666 & ~mask)  # as open() would have made it; mkstemp's is private
            Path(name).replace(path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise RecordingError(
            f"write the report {path}: {error.strerror}", hint="a folder that exists and may be written"
        ) from error
    return path
