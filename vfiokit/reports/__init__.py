"""One self-contained HTML file from a recording, or from an executed notebook.

::

    vfiokit.report(recording, "bringup.html")
    extract("bringup.html", "bringup.vfk")      # the recording that is in it

* :func:`report` writes the file, :func:`extract` gets its recording back
* :func:`verdicts` says what a recording itself shows
* :func:`export_notebook` makes a file of an executed notebook that opens offline

Needs bokeh: ``pip install 'vfiokit[notebook]'``.
"""

from vfiokit.errors import MissingExtraError

try:
    import bokeh as _bokeh  # noqa: F401
    import jinja2 as _jinja2  # noqa: F401
except ImportError as error:
    raise MissingExtraError(str(error.name), "notebook") from error

from vfiokit.reports.embedded import extract
from vfiokit.reports.notebooks import export_notebook
from vfiokit.reports.page import report
from vfiokit.reports.verdicts import Verdict, verdicts

__all__ = ("Verdict", "export_notebook", "extract", "report", "verdicts")
