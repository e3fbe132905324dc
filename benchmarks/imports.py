"""Starting Python and importing vfiokit, against starting Python."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from functools import partial

from benchmarks.measure import Pair, pair


def rows() -> Iterator[Pair]:
    """The package, and the command line's help."""

    def python(*argv: str) -> None:
        subprocess.run([sys.executable, *argv], check=True, stdout=subprocess.DEVNULL)

    for name, code in (
        ("import vfiokit / starting Python", "import vfiokit"),
        ("vfiokit --version / starting Python", "from vfiokit.cli import main; main(['--version'])"),
    ):
        yield pair(name, partial(python, "-c", code), partial(python, "-c", ""), scale=1e3, unit="{:.0f} ms")
