"""Every notebook of the course runs from its first cell to its last, as a person would run it."""

import json
import re
import shutil
import sys

import pytest
from course_files import FIGURE, FOLDER, NOTEBOOKS, code, read, shown
from jupyter_client import AsyncKernelManager
from jupyter_client.kernelspec import KernelSpecManager
from nbclient import NotebookClient

# One kernel at a time; the one with a real kernel after the tests that use the lab's guest.
CASES = [
    pytest.param(
        path,
        id=path.stem,
        marks=pytest.mark.xdist_group("lab-up" if path.stem.startswith("09") else "notebooks"),
    )
    for path in NOTEBOOKS
]


@pytest.fixture
def kernels(tmp_path, monkeypatch):
    """Give a manager that knows one kernel, this interpreter, and none of this machine's settings."""
    for name in ("CONFIG", "DATA", "RUNTIME"):
        monkeypatch.setenv(f"JUPYTER_{name}_DIR", str(tmp_path / name.lower()))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    spec = tmp_path / "kernels" / "python3"
    spec.mkdir(parents=True)
    command = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    (spec / "kernel.json").write_text(
        json.dumps({"argv": command, "display_name": "Python 3", "language": "python"})
    )
    return AsyncKernelManager(
        kernel_name="python3", kernel_spec_manager=KernelSpecManager(kernel_dirs=[str(spec.parent)])
    )


@pytest.mark.parametrize("path", CASES)
def test_it_runs_and_shows_its_pictures(path, tmp_path, kernels):
    copy = tmp_path / "notebooks"
    shutil.copytree(FOLDER, copy)
    notebook = read(path)
    # A cell that fails ends it, with the error; a cell that hangs does so after two minutes.
    client = NotebookClient(notebook, km=kernels, timeout=120, resources={"metadata": {"path": str(copy)}})
    client.execute(cleanup_kc=True)
    cells = code(notebook)
    first = [html for cell in cells[:2] for html in shown(cell, "text/html")]
    assert any(FIGURE in html for html in first), "it does not begin with a picture"
    for cell in cells:
        if "course.check(" in cell.source:
            (told,) = shown(cell, "text/plain")
            assert re.match(r"\? \d\d\.\d not answered yet: .", told), told
        for output in cell.outputs:
            assert output.get("name") != "stderr", output.text
