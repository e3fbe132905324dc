"""The course's notebooks, for its tests."""

from pathlib import Path

import nbformat

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
FIGURE = "bokeh.embed.embed_item"
"""Is in the HTML of every picture, and in nothing else that a cell shows."""


def read(path):
    return nbformat.read(path, as_version=4)


def code(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def prose(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "markdown"]


def shown(cell, kind):
    """Return what a cell shows of a MIME type, one text for each output."""
    return [output.data[kind] for output in cell.outputs if kind in output.get("data", {})]
