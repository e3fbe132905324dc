"""An executed notebook as one HTML file that opens from disk with the network off.

nbconvert's own page loads three scripts from elsewhere (require.js, MathJax, the widgets' manager) and can
inline none of them. The template here leaves them out: static Bokeh figures, tables and text show, widgets
do not. So a notebook that is to be handed on shows what matters as figures.
"""

from __future__ import annotations

from pathlib import Path

from vfiokit.errors import MissingExtraError, RecordingError
from vfiokit.reports.writing import write_page

__all__ = ("export_notebook",)

TEMPLATES = Path(__file__).parent / "templates"
# What nbformat raises of a file that is JSON and no notebook depends on where it stumbles.
_STRANGE = (ValueError, KeyError, TypeError, AttributeError)
# nbconvert's order without widgets' views, which would stay blank: a widget's static HTML shows instead.
_PRIORITY = [
    "application/javascript",
    "text/html",
    "image/svg+xml",
    "image/png",
    "image/jpeg",
    "text/markdown",
    "text/latex",
    "text/plain",
]


def export_notebook(notebook: Path | str, path: Path | str | None = None) -> Path:
    """Write an executed notebook as one HTML file and return where; one that is there is replaced.

    :param path: where to; beside the notebook, with ``.html``, if not given
    :raises RecordingError: the notebook cannot be read, or the file not be written
    :raises MissingExtraError: nbconvert, which comes with jupyterlab, is not installed
    """
    try:
        import nbformat
        from nbconvert import HTMLExporter
        from traitlets.config import Config
    except ImportError as error:
        raise MissingExtraError("nbconvert", "notebook") from error
    source = Path(notebook)
    try:
        text = source.read_bytes()
    except OSError as error:
        raise RecordingError(f"read the notebook {source}: {error.strerror}") from error
    try:
        node = nbformat.reads(text.decode(), as_version=4)  # type: ignore[no-untyped-call]
    except _STRANGE as error:
        raise RecordingError(f"{source}: it is no notebook: {str(error)[:200]}") from error
    except nbformat.ValidationError as error:
        raise RecordingError(f"{source}: it is no notebook: {error.message[:200]}") from error
    exporter = HTMLExporter(  # type: ignore[no-untyped-call]
        template_name="vfiokit",
        extra_template_basedirs=[str(TEMPLATES)],
        embed_images=True,
        config=Config({"NbConvertBase": {"display_data_priority": _PRIORITY}}),
    )
    html, _ = exporter.from_notebook_node(node, {"metadata": {"name": source.stem}})
    return write_page(Path(path) if path is not None else source.with_suffix(".html"), html)
