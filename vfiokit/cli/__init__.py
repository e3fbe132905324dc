"""``vfiokit …``: the command line, thin over the library.

Exit codes are one table for all commands (`EXIT_CODES`); what a program would read comes with ``--json``.
"""

from vfiokit.cli.main import main

__all__ = ("main",)
