"""The four markers of a device's part of the migration stream (patch 08/13, v5 spec 4).

Top 32 bits all ones, 0xef10 for emulated function I/O, the low 16 bits say which. Always 8 bytes,
big-endian.
"""

from __future__ import annotations

__all__ = (
    "MARKERS",
    "VFIO_MIG_FLAG_DEV_CONFIG_STATE",
    "VFIO_MIG_FLAG_DEV_DATA_STATE",
    "VFIO_MIG_FLAG_DEV_SETUP_STATE",
    "VFIO_MIG_FLAG_END_OF_STATE",
    "marker_name",
)

VFIO_MIG_FLAG_END_OF_STATE = 0xFFFF_FFFF_EF10_0001
VFIO_MIG_FLAG_DEV_CONFIG_STATE = 0xFFFF_FFFF_EF10_0002
VFIO_MIG_FLAG_DEV_SETUP_STATE = 0xFFFF_FFFF_EF10_0003
VFIO_MIG_FLAG_DEV_DATA_STATE = 0xFFFF_FFFF_EF10_0004

MARKERS = {
    VFIO_MIG_FLAG_END_OF_STATE: "VFIO_MIG_FLAG_END_OF_STATE",
    VFIO_MIG_FLAG_DEV_CONFIG_STATE: "VFIO_MIG_FLAG_DEV_CONFIG_STATE",
    VFIO_MIG_FLAG_DEV_SETUP_STATE: "VFIO_MIG_FLAG_DEV_SETUP_STATE",
    VFIO_MIG_FLAG_DEV_DATA_STATE: "VFIO_MIG_FLAG_DEV_DATA_STATE",
}


def marker_name(value: int) -> str:
    """Return a marker's name, or the number in hex when it is none."""
    return MARKERS.get(value, f"{value:#018x}")
