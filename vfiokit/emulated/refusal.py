"""How the emulated vendor driver says no: DeviceErrors that carry the device's name."""

from __future__ import annotations

from vfiokit.errors import DeviceError

__all__ = ("Refuse",)


class Refuse:
    """Makes the DeviceErrors of one device; ``raise refuse(operation, errno, rule)``."""

    def __init__(self, device: str) -> None:
        self._device = device

    def __call__(self, operation: str, errno: int, rule: str, hint: str | None = None) -> DeviceError:
        """Return the error; *operation* is as ``pwrite(migration device_state=0x6)``."""
        return DeviceError(self._device, operation, errno, rule=rule, hint=hint)
