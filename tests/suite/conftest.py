import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from reach import WAY, World

# Real PCI devices are only in the guest; there the file is run, here it is no test at all.
collect_ignore = [] if WAY == "kernel" else ["test_suite_vfio_pci.py"]


@pytest.fixture
def world():
    world = World()
    yield world
    world.close()
