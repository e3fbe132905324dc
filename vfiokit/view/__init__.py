"""Pictures of a recording: live, loaded, or with only some of its tables.

Each takes a :class:`vfiokit.recording.Recording` and returns a :class:`Picture`, which can be updated,
shown in a notebook or saved as one HTML file::

    from vfiokit.view import convergence
    convergence(Recording.load("bringup.vfk")).save("convergence.html")

Needs bokeh: ``pip install 'vfiokit[notebook]'``.
"""

from vfiokit.errors import MissingExtraError

try:
    import bokeh as _bokeh  # noqa: F401
except ImportError as error:
    raise MissingExtraError("bokeh", "notebook") from error

from vfiokit.view.convergence import convergence
from vfiokit.view.dirty import dirty
from vfiokit.view.inspector import inspector
from vfiokit.view.picture import Picture
from vfiokit.view.regions import regions
from vfiokit.view.states import states
from vfiokit.view.theme import Theme, theme
from vfiokit.view.timeline import timeline

__all__ = (
    "Picture",
    "Theme",
    "convergence",
    "dirty",
    "inspector",
    "regions",
    "states",
    "theme",
    "timeline",
)
