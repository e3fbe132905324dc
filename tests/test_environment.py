"""environment.yml and binder/ say what pyproject.toml says."""

import json
import os
import re
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# Packages that conda-forge calls otherwise.
CONDA_NAMES = {"prompt-toolkit": "prompt_toolkit", "xxhash": "python-xxhash"}
# The lines are simple enough that a YAML reader would tell no more.
LINE = re.compile(r"^  - ([A-Za-z0-9_.-]+)([<>=!~][^#\s]*)?$", re.MULTILINE)


def split(requirement):
    name, range_ = re.fullmatch(r"([A-Za-z0-9_.-]+)(.*)", requirement).groups()
    return CONDA_NAMES.get(name, name), range_


@pytest.mark.parametrize("path", ["environment.yml", "binder/environment.yml"])
def test_an_environment_has_the_core_and_the_notebooks_extra_with_the_same_ranges(path):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = dict(map(split, [*project["dependencies"], *project["optional-dependencies"]["notebook"]]))
    found = dict(LINE.findall((ROOT / path).read_text()))
    python = found.pop("python")
    # Binder's default is older than what we need, so it names one; the range is everybody else's.
    assert python.startswith("=3.1" if path.startswith("binder") else project["requires-python"])
    assert found.pop("pip") == ""
    assert found.pop("conda-forge") == ""
    assert found == wanted


def test_binder_installs_the_project_and_asks_no_news_server(tmp_path):
    """postBuild is carried out, with a python that notes what it is asked for."""
    notes = tmp_path / "notes"
    python = tmp_path / "bin" / "python"
    python.parent.mkdir()
    python.write_text(f'#!/bin/sh\necho "$@" >> {notes}\n[ "$1" = -c ] && echo {tmp_path}/env || true\n')
    python.chmod(0o755)
    path = f"{python.parent}:{os.environ['PATH']}"
    script = ROOT / "binder" / "postBuild"
    assert os.access(script, os.X_OK)
    subprocess.run([script], cwd=ROOT, env={"PATH": path}, check=True)
    assert notes.read_text().startswith("-m pip install --no-deps")
    settings = tmp_path / "env/share/jupyter/lab/settings/overrides.json"
    assert json.loads(settings.read_text()) == {
        "@jupyterlab/apputils-extension:notification": {"checkForUpdates": False, "fetchNews": "false"}
    }


def test_the_badge_opens_a_notebook_that_is_there():
    (target,) = re.findall(
        r"mybinder\.org/v2/gh/[\w.-]+/[\w.-]+/main\?urlpath=lab/tree/([\w./-]+)",
        (ROOT / "README.md").read_text(),
    )
    assert (ROOT / target).is_file()
