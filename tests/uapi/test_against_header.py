"""Every structure and constant of ours against the compiler's view of <linux/vfio.h>."""

from __future__ import annotations

import pytest

from vfiokit.uapi import migration_v5, vfio
from vfiokit.uapi.ctypes_layout import CStruct

HEADER = "linux/vfio.h"

# Names of the 2019 posting that mainline never had, or gave another meaning, and what stands for them
# in the header now (None: nothing does).
V5_ONLY = {
    "VFIO_DEVICE_STATE_RUNNING": "VFIO_DEVICE_STATE_V1_RUNNING",
    "VFIO_DEVICE_STATE_SAVING": "VFIO_DEVICE_STATE_V1_SAVING",
    "VFIO_DEVICE_STATE_RESUMING": "VFIO_DEVICE_STATE_V1_RESUMING",
    "VFIO_DEVICE_STATE_INVALID": "(VFIO_DEVICE_STATE_V1_SAVING | VFIO_DEVICE_STATE_V1_RESUMING)",
    # v5 took the number that channel I/O already had.
    "VFIO_REGION_TYPE_MIGRATION": "VFIO_REGION_TYPE_CCW",
    "VFIO_REGION_SUBTYPE_MIGRATION": "VFIO_REGION_SUBTYPE_MIGRATION_DEPRECATED",
    "VFIO_DEVICE_DIRTY_PFNS_NONE": None,
    "VFIO_DEVICE_DIRTY_PFNS_ALL": None,
}
STRUCTURES = [
    value
    for value in vars(vfio).values()
    if isinstance(value, type) and issubclass(value, CStruct) and value.C_NAME
]


def constants(module: object) -> dict[str, int]:
    return {name: value for name, value in vars(module).items() if name.startswith("VFIO_")}


def test_constants_are_the_headers(evaluate_c):
    ours = constants(vfio)
    assert len(ours) > 80
    theirs = evaluate_c(HEADER, list(ours))
    unsigned = {name: value & 0xFFFF_FFFF for name, value in theirs.items()}  # (1 << 31) is negative in C
    assert unsigned == ours


def test_v5_constants_are_the_headers_by_their_later_names(evaluate_c):
    ours = constants(migration_v5)
    names = {name: V5_ONLY.get(name, name) for name in ours}
    theirs = evaluate_c(HEADER, [name for name in names.values() if name])
    assert {name: theirs[c] for name, c in names.items() if c} == {
        name: ours[name] for name, c in names.items() if c
    }


def test_the_list_of_v5_names_holds_nothing_else():
    assert set(V5_ONLY) <= set(constants(migration_v5))


@pytest.mark.parametrize("structure", STRUCTURES, ids=lambda structure: structure.C_NAME)
def test_layout_is_the_compilers(evaluate_c, structure):
    c = f"struct {structure.C_NAME}"
    expected = {f"sizeof({c})": structure.c_size()}
    for name in structure.c_fields():
        expected[f"offsetof({c}, {name})"] = structure.c_offset(name)
        expected[f"sizeof((({c} *)0)->{name})"] = structure.c_width(name)
    assert evaluate_c(HEADER, list(expected)) == expected


def test_flexible_arrays_begin_behind_our_structures(evaluate_c):
    arrays = {
        "offsetof(struct vfio_region_info_cap_sparse_mmap, areas)": vfio.RegionInfoCapSparseMmap.c_size(),
        "offsetof(struct vfio_irq_set, data)": vfio.IrqSet.c_size(),
        "offsetof(struct vfio_iommu_type1_info_cap_iova_range, iova_ranges)": vfio.IommuCapIovaRange.c_size(),
        "offsetof(struct vfio_pci_hot_reset_info, devices)": vfio.PciHotResetInfo.c_size(),
        "offsetof(struct vfio_pci_hot_reset, group_fds)": vfio.PciHotReset.c_size(),
    }
    assert evaluate_c(HEADER, list(arrays)) == arrays


def test_migration_info_shares_mainlines_prefix(evaluate_c):
    # Mainline's structure ends where v5's goes on with the dirty page registers.
    c = "struct vfio_device_migration_info"
    prefix = ("device_state", "reserved", "pending_bytes", "data_offset", "data_size")
    ours = migration_v5.DeviceMigrationInfo
    expected = {f"sizeof({c})": ours.c_offset("start_pfn")}
    for name in prefix:
        expected[f"offsetof({c}, {name})"] = ours.c_offset(name)
        expected[f"sizeof((({c} *)0)->{name})"] = ours.c_width(name)
    assert evaluate_c(HEADER, list(expected)) == expected
    assert ours.c_fields()[: len(prefix)] == prefix
