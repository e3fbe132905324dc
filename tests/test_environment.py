"""environment.yml says what pyproject.toml says."""

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
# Packages that conda-forge calls otherwise.
CONDA_NAMES = {"prompt-toolkit": "prompt_toolkit", "xxhash": "python-xxhash"}
# The lines are simple enough that a YAML reader would tell no more.
LINE = re.compile(r"^  - ([A-Za-z0-9_.-]+)([<>=!~][^#\s]*)?$", re.MULTILINE)


def split(requirement):
    name, range_ = re.fullmatch(r"([A-Za-z0-9_.-]+)(.*)", requirement).groups()
    return CONDA_NAMES.get(name, name), range_


def test_the_environment_has_the_core_and_the_notebooks_extra_with_the_same_ranges():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = dict(map(split, [*project["dependencies"], *project["optional-dependencies"]["notebook"]]))
    found = dict(LINE.findall((ROOT / "environment.yml").read_text()))
    assert found.pop("python").startswith(project["requires-python"])
    assert found.pop("pip") == ""
    assert found.pop("conda-forge") == ""
    assert found == wanted
