"""A picture of a recording: models that are drawn once, and data that is read again when asked for.

`Picture.update` reads what is newest in the recording; a live recording grows while it is shown. It never
asks a device. A line has at most as many points as `decimate` leaves: the highest and the lowest of each
stretch stay, so peaks do.

Models belong to one document: every picture has its own, and two pages need two pictures.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from bokeh.embed import file_html
from bokeh.models import ColumnDataSource
from bokeh.models.ui import UIElement
from bokeh.resources import Resources

from vfiokit.errors import RecordingError
from vfiokit.recording.tables import Table
from vfiokit.view.embed import piece_of_page
from vfiokit.view.theme import LIGHT, Theme, plain

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from vfiokit.recording import Recording
    from vfiokit.view.link import Link

__all__ = (
    "POINTS",
    "Picture",
    "decimate",
    "fill",
    "last_ns",
    "origin_ns",
    "row_counts",
    "row_until",
    "texts",
)

POINTS = 2000  # of a line: what the widest screen can show

_PAGE = """{{% block preamble %}}<style>
html, body {{ margin: 0; padding: 4px; box-sizing: border-box; background: {background}; color: {text}; }}
</style>{{% endblock %}}"""


class Picture:
    """A picture of one recording.

    :param recording: what it shows; read again at each `update`
    :param root: its models, made for this picture alone
    :param refresh: reads the recording into the models' data, up to the access of that number if one is
        given; tells whether anything changed
    :param look: its theme, for the page of `html`
    :param link: the moment that it shares with the other pictures of its document, if it does
    """

    def __init__(
        self,
        recording: Recording,
        root: UIElement,
        refresh: Callable[[int | None], bool],
        look: Theme = LIGHT,
        link: Link | None = None,
    ) -> None:
        self.recording = recording
        self.root = root
        self.theme = look
        self.link = link
        self._refresh = refresh

    def update(self, at: int | None = None) -> bool:
        """Show what is newest in the recording, or the moment after an access; tell whether anything changed.

        :param at: number of the access (``seq``). Pictures over time show all there is at any moment; those
            of one moment (states, regions, dirty pages, registers) show what was known then
        """
        return self._refresh(at)

    def _repr_html_(self) -> str:
        """Show it in a notebook as it is now; the page has BokehJS from ``%load_ext vfiokit``."""
        return piece_of_page(self.root, self.theme)

    def html(self, title: str) -> str:
        """Return the picture as a page that needs nothing else: no address, no server.

        :param title: of the page; escaped
        """
        page = _PAGE.format(background=self.theme.background, text=self.theme.text)
        return file_html(self.root, Resources(mode="inline"), title=plain(title), template=page)

    def save(self, path: Path | str, title: str = "vfiokit") -> None:
        """Write `html` into a file; one that is there is replaced.

        :raises RecordingError: it cannot be written
        """
        try:
            Path(path).write_text(self.html(title), encoding="utf-8")
        except OSError as error:
            raise RecordingError(
                f"write the picture {path}: {error.strerror}", hint="a folder that exists and may be written"
            ) from error


def fill(source: ColumnDataSource, columns: Mapping[str, Any]) -> bool:
    """Give a source all its columns in one assignment, if any differs; return whether one did."""
    old = source.data
    if old.keys() == columns.keys() and all(_same(old[name], columns[name]) for name in columns):
        return False
    source.data = dict(columns)
    return True


def _same(old: Any, new: Any) -> bool:
    if len(old) != len(new):
        return False
    if isinstance(old, np.ndarray) or isinstance(new, np.ndarray):
        first, second = np.asarray(old), np.asarray(new)
        numbers = first.dtype.kind == "f" and second.dtype.kind == "f"
        return bool(np.array_equal(first, second, equal_nan=numbers))
    return list(old) == list(new)


def decimate(values: NDArray[Any], points: int = POINTS) -> NDArray[np.intp]:
    """Return the indices of at most *points* values, rising: each stretch's lowest and highest stay.

    The first and the last stay as well, and all when there are few enough.

    :param values: one-dimensional numbers
    :param points: at least 4
    """
    count = len(values)
    if count <= points:
        return np.arange(count)
    stretches = (points - 2) // 2
    length = -(-count // stretches)
    whole = count // length * length
    parts = values[:whole].reshape(-1, length)
    starts = np.arange(len(parts)) * length
    kept = [starts + parts.argmin(axis=1), starts + parts.argmax(axis=1), np.array([0, count - 1])]
    if whole < count:
        rest = values[whole:]
        kept.append(np.array([whole + rest.argmin(), whole + rest.argmax()]))
    return np.unique(np.concatenate(kept))


def origin_ns(recording: Recording) -> int:
    """Return the time that pictures call 0, ns: the first that the recording has; 0 when it is empty.

    All pictures of a recording share it, so their time axes can be linked.
    """
    return min((_time(table, 0) for table in recording.tables.values() if len(table)), default=0)


def texts(table: Table, name: str) -> NDArray[Any]:
    """Return a column of names or texts as objects; None where one is missing, be it everywhere."""
    found: NDArray[Any] = table.to_arrow()[name].cast("string").to_numpy(zero_copy_only=False)
    return found


def row_counts(recording: Recording) -> tuple[int, ...]:
    """Return how many rows each table has: when they are those of the last look, nothing is new."""
    return tuple(len(table) for table in recording.tables.values())


def last_ns(recording: Recording) -> int:
    """Return the latest time that the recording's tables end with, ns; 0 when it is empty."""
    return max((_time(table, -1) for table in recording.tables.values() if len(table)), default=0)


def _time(table: Table, row: int) -> int:
    return int(table.to_arrow()["time_ns"][row].as_py())  # one number, not the column


def row_until(table: Table, at: int | None) -> int:
    """Return how many of a table's rows are of the access *at* (``seq``) or earlier; None for all of them."""
    if at is None:
        return len(table)
    numbers = table.to_arrow()["seq"]
    return bisect_right(range(len(numbers)), at, key=lambda row: numbers[row].as_py())
