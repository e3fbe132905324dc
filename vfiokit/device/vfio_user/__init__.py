"""vfio-user: VFIO's commands as messages over a stream socket, and so a device in another process.

* `vfiokit.device.vfio_user.client`: `VfioUserDevice`, the `Device` interface over a connected socket
* `vfiokit.device.vfio_user.server`: `serve`, which answers for any `Device`
* `vfiokit.device.vfio_user.wire`: header, commands and structures, as tables
* `vfiokit.device.vfio_user.channel`: messages over a socket, or over a character device
* `vfiokit.device.vfio_user.shared_memory`: memory that both ends can reach, for DMA

The protocol is that of QEMU docs/interop/vfio-user.rst. Spoken of it: VERSION, DMA_MAP and DMA_UNMAP,
DEVICE_GET_INFO, DEVICE_GET_REGION_INFO, DEVICE_GET_IRQ_INFO, REGION_READ and REGION_WRITE, DEVICE_RESET.
One connection is one device.
"""
