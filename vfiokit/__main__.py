"""``python -m vfiokit``."""

from vfiokit.cli import main

main()
