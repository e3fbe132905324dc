"""The device suite over vfio-user: the emulated device behind our server, driven by our client."""

import os
import subprocess
import sys
from pathlib import Path


def test_the_suite_passes_over_a_socket():
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", "tests/suite"],
        cwd=root,
        env=os.environ | {"VFIOKIT_SUITE": "vfio-user"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout
    assert "skipped" not in done.stdout
