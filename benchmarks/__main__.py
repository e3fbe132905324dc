"""``make bench``: every row is ours, the bare thing, and bare / ours (1 is as fast; higher is faster)."""

from __future__ import annotations

import sys
from importlib import import_module

SUITES = ("saving", "accesses", "events", "stepping", "recording", "heatmap", "report", "panel", "imports")


def main() -> None:
    """Run the suites named on the command line, or all."""
    print(f"{'':<58} {'ours':>12} {'bare':>12} {'ratio':>8}")
    for name in sys.argv[1:] or SUITES:
        for row in import_module(f"benchmarks.{name}").rows():
            print(row.line(), flush=True)


if __name__ == "__main__":
    main()
