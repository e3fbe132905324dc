"""What the README shows runs as it stands there."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from vfiokit.cli.main import cli

README = Path(__file__).parents[1] / "README.md"
TEXT = README.read_text()
DOCS = [
    README,
    *(README.parent / "docs" / f"{name}.md" for name in ("debugger", "panel", "pictures", "report")),
]


@pytest.mark.parametrize("path", DOCS, ids=lambda path: path.stem)
def test_python_blocks_run_one_after_the_other(path, tmp_path):
    code = "\n".join(re.findall(r"```python\n(.*?)```", path.read_text(), re.DOTALL))
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", "import vfiokit\n" + code],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout or list(tmp_path.iterdir())


def test_commands_named_in_the_table_exist():
    for name in re.findall(r"^\| `vfiokit (\w+)", TEXT, re.MULTILINE):
        assert cli.get_command(None, name), name


def test_links_lead_somewhere():
    for target in re.findall(r"\]\(([^)#:]+)\)", TEXT):
        assert (README.parent / target).exists(), target


def test_the_error_on_the_first_screen_is_what_comes_out():
    shown = re.search(r"\$ vfiokit (migrate .*)\n(vfiokit: .*)\n(  rule: .*)\n", TEXT)
    argv = re.findall(r'"([^"]*)"|(\S+)', shown[1])
    done = subprocess.run(
        [sys.executable, "-m", "vfiokit", *(quoted or plain for quoted, plain in argv)],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 5
    assert shown[2] in done.stderr
    assert shown[3] in done.stderr
