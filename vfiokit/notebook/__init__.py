"""In a notebook: the live panel, pictures in cells, magics.

``vfiokit.panel(debugger)`` shows a migration that is stepped; ``%load_ext vfiokit`` gives ``%vfio`` and lets
pictures show themselves. Needs ``pip install 'vfiokit[notebook]'``.
"""

from vfiokit.errors import MissingExtraError

try:
    import anywidget as _anywidget  # noqa: F401
    import bokeh as _bokeh  # noqa: F401
    import ipywidgets as _ipywidgets  # noqa: F401
except ImportError as error:
    raise MissingExtraError(str(error.name), "notebook") from error
