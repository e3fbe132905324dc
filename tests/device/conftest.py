from __future__ import annotations

import struct
from pathlib import Path

import pytest
from vfio_model import NIC, NIC2, UUID, ModelGroup, ModelKernel, add_mdev, add_pci, migratable, nic


@pytest.fixture
def root(tmp_path: Path) -> Path:
    add_pci(tmp_path, NIC, 12, "vfio-pci")
    add_pci(tmp_path, NIC2, 13, "vfio-pci")
    add_mdev(tmp_path, "vdev", UUID, 20)
    return tmp_path


@pytest.fixture
def kernel(root: Path) -> ModelKernel:
    groups = {
        12: ModelGroup({NIC: nic()}),
        13: ModelGroup({NIC2: nic()}),
        20: ModelGroup({UUID: migratable()}),
    }
    struct.pack_into("<HH", groups[12].devices[NIC].regions[7].data, 0, 0x8086, 0x1572)
    return ModelKernel(groups, root)
