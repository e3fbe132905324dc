"""The QEMU series "Add migration support for VFIO device", v5, July 2019, as flows.

================= ====================================================== =============
module            counterpart in the series                              patch
================= ====================================================== =============
`device`          VFIODevice and VFIOMigration, VFIODeviceOps            03, 05
`region`          probe, region init, map, unmap, exit, finalise         02, 05, 13
`states`          set_state, VM state handler, status notifier           06, 07
`save`            SaveVMHandlers of the source                           08, 09
`load`            SaveVMHandlers of the destination                      10
`dirty`           vfio_get_dirty_page_list                               11
`quirks`          defects of the posted code that are harmless to show
================= ====================================================== =============

log_sync (12) and the PCI config state (04) are the VMM's: :mod:`vfiokit.vmm`.
"""

from vfiokit.protocol.v5.device import DeviceOps, MigratingDevice
from vfiokit.protocol.v5.quirks import AS_POSTED, INTERFACE, PROFILES, QUIRKS, Profile, Quirk

__all__ = ("AS_POSTED", "INTERFACE", "PROFILES", "QUIRKS", "DeviceOps", "MigratingDevice", "Profile", "Quirk")
