"""The register file in BAR0 (docs/device-model.md): values, access rules, save and load.

It knows nothing of what the registers do: the device acts on the names that `write` returns.
"""

from __future__ import annotations

import errno

from vfiokit.emulated import model
from vfiokit.emulated.refusal import Refuse

__all__ = ("RegisterFile",)

# The destination keeps its own of these when it loads a source's register file.
_NOT_LOADED = ("ID", "VERSION", "STATE_SIZE")


class RegisterFile:
    """Values of the registers by name; ``file["RATE"]`` reads one."""

    def __init__(self, state_size: int, refuse: Refuse) -> None:
        self._refuse = refuse
        self._state_size = state_size
        self._values: dict[str, int] = {}
        self.reset()

    def reset(self) -> None:
        """Put every register to its reset value."""
        self._values = {name: register.reset for name, register in model.REGISTERS.items()}
        self._values["STATE_SIZE"] = self._state_size

    def __getitem__(self, name: str) -> int:
        return self._values[name]

    def __setitem__(self, name: str, value: int) -> None:
        self._values[name] = value & ((1 << 8 * model.REGISTERS[name].width) - 1)

    def read(self, offset: int, size: int) -> bytes:
        """Read as a trapped access; EINVAL for a wrong place, width or direction."""
        operation = f"pread(BAR0 {offset:#x}, {size} bytes)"
        register, inside = self._find(offset, size, operation)
        if "r" not in register.access:
            raise self._refuse(operation, errno.EINVAL, f"{register.name} is write only (device model)")
        return self._values[register.name].to_bytes(register.width, "little")[inside : inside + size]

    def decode_write(self, offset: int, data: bytes) -> tuple[str, int]:
        """Return the register an access writes and its whole new value, without changing it.

        EINVAL for a wrong place, width, direction or value.
        """
        operation = f"pwrite(BAR0 {offset:#x}, {len(data)} bytes)"
        register, inside = self._find(offset, len(data), operation)
        if "w" not in register.access:
            raise self._refuse(operation, errno.EINVAL, f"{register.name} is read only (device model)")
        whole = bytearray(self._values[register.name].to_bytes(register.width, "little"))
        whole[inside : inside + len(data)] = data
        value = int.from_bytes(whole, "little")
        if register.name == "PATTERN" and value not in model.PATTERNS.values():
            raise self._refuse(
                operation, errno.EINVAL, "PATTERN is 0 ring, 1 random, 2 hot set or 3 strided (device model)"
            )
        if register.name == "WINDOW_IOVA" and value % model.PAGE_SIZE:
            raise self._refuse(operation, errno.EINVAL, "WINDOW_IOVA is 4 KiB aligned (device model)")
        if register.name == "CONTROL":
            value &= model.CTRL_RUN
        return register.name, value

    def _find(self, offset: int, size: int, operation: str) -> tuple[model.ModelRegister, int]:
        found = model.register_at(offset, size)
        if found is None:
            raise self._refuse(
                operation,
                errno.EINVAL,
                "registers are accessed at their width, aligned; 64 bits also as halves (device model)",
            )
        return found

    def save(self) -> bytes:
        """Return the file as the registers record carries it: BAR0's first 0x68 bytes."""
        image = bytearray(model.REGISTERS_SIZE)
        for name, register in model.REGISTERS.items():
            image[register.offset : register.end] = self._values[name].to_bytes(register.width, "little")
        return bytes(image)

    def load(self, image: bytes | memoryview) -> None:
        """Take over a source's file of 0x68 bytes; identity and STATE_SIZE stay."""
        for name, register in model.REGISTERS.items():
            if name not in _NOT_LOADED:
                self._values[name] = int.from_bytes(image[register.offset : register.end], "little")
