"""A JupyterLab for tests and benchmarks: its own folders, a free port, no news, no look for updates.

::

    with jupyter_lab(tmp_path) as lab:
        write_notebook(tmp_path / "one.ipynb", "import vfiokit", "…")
        open_notebook(page, lab, "one.ipynb")    # a page of Playwright
        run_all(page)

The scripts for the page are constants: who drives a browser otherwise evaluates them himself.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

READY_JS = """(() => {
  const widget = window.jupyterapp?.shell.currentWidget
  return widget?.context?.sessionContext?.session?.kernel?.status === "idle"
})()"""
"""Tells whether the notebook in front has a kernel that is idle."""

RUN_ALL_JS = "window.jupyterapp.commands.execute('notebook:run-all-cells')"
SAVE_JS = "window.jupyterapp.commands.execute('docmanager:save')"

_SETTINGS = {"fetchNews": "false", "checkForUpdates": False}
_ADDRESS = re.compile(r"(http://127\.0\.0\.1:\d+)/(?:lab|tree)\?token=")


@dataclass
class Lab:
    """A running JupyterLab. *log* is what it has written so far, by lines."""

    url: str
    token: str
    process: subprocess.Popen[str]
    log: list[str] = field(default_factory=list)

    def notebook(self, name: str) -> str:
        """Return the address of a notebook in the folder, in a workspace of its own."""
        return f"{self.url}/lab/workspaces/{secrets.token_hex(4)}/tree/{name}?reset&token={self.token}"


@contextmanager
def jupyter_lab(folder: Path, *options: str, app: str = "jupyterlab") -> Iterator[Lab]:
    """Start JupyterLab on *folder*, with this interpreter for it and for its kernels; stop it at the end.

    :param options: more of its command line
    :raises RuntimeError: it ended before it listened; with what it wrote
    """
    own = folder / ".jupyter"
    settings = own / "settings" / "@jupyterlab" / "apputils-extension"
    settings.mkdir(parents=True, exist_ok=True)
    (settings / "notification.jupyterlab-settings").write_text(json.dumps(_SETTINGS))
    environment = {
        **os.environ,
        # The kernel's command is `python`: the one whose packages are ours has to be found first.
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "JUPYTER_CONFIG_DIR": str(own / "config"),
        "JUPYTER_DATA_DIR": str(own / "data"),
        "JUPYTER_RUNTIME_DIR": str(own / "runtime"),
        "JUPYTERLAB_SETTINGS_DIR": str(own / "settings"),
        "JUPYTERLAB_WORKSPACES_DIR": str(own / "workspaces"),
        "IPYTHONDIR": str(own / "ipython"),
    }
    token = secrets.token_hex(16)
    command = [
        *(sys.executable, "-m", app, "--no-browser", "--allow-root"),
        *("--ServerApp.ip=127.0.0.1", "--ServerApp.port=0", f"--IdentityProvider.token={token}"),
        *(f"--ServerApp.root_dir={folder}", "--LabApp.expose_app_in_browser=True", *options),
    ]
    process = subprocess.Popen(
        command,
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    reader: list[threading.Thread] = []
    try:
        yield _listening(process, token, reader)
    finally:
        process.terminate()  # it ends its kernels
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        for thread in reader:
            thread.join(20)
        assert process.stderr is not None
        process.stderr.close()


def _listening(process: subprocess.Popen[str], token: str, reader: list[threading.Thread]) -> Lab:
    log: list[str] = []
    assert process.stderr is not None
    for line in process.stderr:
        log.append(line)
        if found := _ADDRESS.search(line):
            lab = Lab(found[1], token, process, log)
            reader.append(threading.Thread(target=log.extend, args=(process.stderr,), daemon=True))
            reader[0].start()
            return lab
    raise RuntimeError(f"JupyterLab ended with {process.wait()}:\n{''.join(log)}")


def write_notebook(path: Path, *cells: str) -> Path:
    """Write a notebook of code cells."""
    import nbformat

    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(notebook, path)
    return path


def open_notebook(page: Any, lab: Lab, name: str, timeout: float = 60_000) -> None:
    """Open a notebook in a page of Playwright and wait for its kernel; *timeout* in ms."""
    page.goto(lab.notebook(name))
    kernel_idle(page, timeout)


def kernel_idle(page: Any, timeout: float = 60_000) -> None:
    """Wait until the kernel of the notebook in front is idle."""
    page.wait_for_function(READY_JS, timeout=timeout)


def run_all(page: Any, timeout: float = 60_000) -> None:
    """Run all cells of the notebook in front and wait until they are done."""
    page.set_default_timeout(timeout)
    page.evaluate(RUN_ALL_JS)
    kernel_idle(page, timeout)


def save(page: Any) -> None:
    """Save the notebook in front: what is not saved is gone after a reload."""
    page.evaluate(SAVE_JS)
