"""How a device is reached: one `Device` interface, and the kernel's ``/dev/vfio`` behind it.

* `vfiokit.device.base`: the interface, for whoever performs accesses
* `vfiokit.device.address`: how devices are named, and ``open_vfio``
* `vfiokit.device.vfio_device`: an open one; ``container``, ``group`` and ``kernel`` are below it
* `vfiokit.device.dma_memory`: memory that a device may reach
* `vfiokit.device.sysfs`: which devices there are, whether one can be opened, and if not why

Every refusal is a :class:`~vfiokit.errors.DeviceError` that says what to try.
"""
