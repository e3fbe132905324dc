"""One self-contained HTML file from a recording, or from an executed notebook.

::

    vfiokit.report(recording, "bringup.html")
    extract("bringup.html", "bringup.vfk")      # the recording that is in it

* :func:`report` writes the file, :func:`extract` gets its recording back
* :func:`verdicts` says what a recording itself shows
* :func:`export_notebook` makes a file of an executed notebook that opens offline

Needs bokeh: ``pip install 'vfiokit[notebook]'``.
"""

from vfiokit.reports.embedded import extract
from vfiokit.reports.notebooks import export_notebook
from vfiokit.reports.page import report
from vfiokit.reports.verdicts import Verdict, verdicts

__all__ = ("Verdict", "export_notebook", "extract", "report", "verdicts")
