"""One family of exceptions.

Every error says what was done, what came back, which rule says otherwise, and what to try::

    VfioError
    ├── DeviceError            a device or the kernel refused; also an OSError, so ``.errno`` works
    │   ├── DeviceNotFoundError    no such device, group or node
    │   ├── DeviceBusyError        somebody else has it
    │   ├── GroupNotViableError    a sibling in the IOMMU group is bound to another driver
    │   ├── NodeAccessError        a device node may not be opened
    │   └── MemlockError           the memory to pin is over the limit
    ├── AccessError            one access of a flow came back wrong: an errno, or short
    ├── RuleError              an access came back well, with a value that the interface forbids
    ├── StreamError            the migration stream says what it may not say
    │   └── StreamCutError         … or ends too early
    ├── StateError             not possible in this state; names those in which it is
    ├── MigrationError         the migration as a whole
    │   ├── MigrationBlockedError  a device cannot be migrated, with the reason
    │   ├── MigrationCancelledError
    │   ├── MigrationFailedError
    │   └── VerifyError            destination and source differ
    ├── TraceError             a trace-events file or a pattern
    ├── LabError               the guest with the real kernel
    ├── RecordingError         a recording's files, or what they hold
    ├── AddressError           a device's name (``emulated:v5?…``) or one of its options
    └── MissingExtraError      a package of an optional extra is not installed
"""

from __future__ import annotations

import errno as _errno
import os
from collections.abc import Iterable
from typing import Any

__all__ = (
    "AccessError",
    "AddressError",
    "DeviceBusyError",
    "DeviceError",
    "DeviceNotFoundError",
    "GroupNotViableError",
    "LabError",
    "MemlockError",
    "MigrationBlockedError",
    "MigrationCancelledError",
    "MigrationError",
    "MigrationFailedError",
    "MissingExtraError",
    "NodeAccessError",
    "RecordingError",
    "RuleError",
    "StateError",
    "StreamCutError",
    "StreamError",
    "TraceError",
    "VerifyError",
    "VfioError",
    "errno_text",
)


def errno_text(number: int) -> str:
    """Return an errno as people read it: ``EINVAL (Invalid argument)``."""
    return f"{_errno.errorcode.get(number, f'errno {number}')} ({os.strerror(number)})"


class VfioError(Exception):
    """Root of the family.

    :param message: what was done and what came back
    :param rule: the rule that says otherwise, with its source; shown after the message
    :param hint: what to try; shown last
    """

    def __init__(self, message: str, *, rule: str | None = None, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.rule = rule
        self.hint = hint

    def __str__(self) -> str:
        text = self.message
        if self.rule:
            text += f"\n  rule: {self.rule}"
        if self.hint:
            text += f"\n  try:  {self.hint}"
        return text


class DeviceError(VfioError, OSError):
    """A device or the kernel refused an operation.

    :param device: the device's name as the user gave it, or the node
    :param operation: what was done, as ``pread(region 9, 0x8, 8)``
    :param errno: what came back, an errno number
    """

    def __init__(
        self, device: str, operation: str, errno: int, *, rule: str | None = None, hint: str | None = None
    ) -> None:
        VfioError.__init__(self, f"{device}: {operation}: {errno_text(errno)}", rule=rule, hint=hint)
        self.device = device
        self.operation = operation
        self.errno = errno
        self.strerror = os.strerror(errno)


class DeviceNotFoundError(DeviceError):
    """No such device, IOMMU group or node."""


class DeviceBusyError(DeviceError):
    """Somebody else holds the device or its group."""


class GroupNotViableError(DeviceError):
    """The IOMMU group has a member bound to a driver that is not VFIO's."""


class NodeAccessError(DeviceError):
    """The process may not open a node under ``/dev/vfio``."""


class MemlockError(DeviceError):
    """Pinning the memory would pass RLIMIT_MEMLOCK."""


class AccessError(VfioError):
    """One access of a flow came back with an errno, or short.

    :param access: the access, from :mod:`vfiokit.accesses`
    :param errno: the errno, or 0 for a short one
    :param moved: bytes that moved of a short one, else None
    """

    def __init__(
        self,
        access: Any,
        errno: int = 0,
        moved: int | None = None,
        *,
        rule: str | None = None,
        hint: str | None = None,
    ) -> None:
        came = f"only {moved} bytes moved" if moved is not None else errno_text(errno)
        super().__init__(f"{access}: {came}", rule=rule, hint=hint)
        self.access = access
        self.errno = errno
        self.moved = moved


class RuleError(VfioError):
    """A value came back that the interface forbids.

    :param access: the access that brought the value
    :param found: the value and why it cannot be, in words
    :param rule: the rule, with its source
    """

    def __init__(self, access: Any, found: str, *, rule: str, hint: str | None = None) -> None:
        super().__init__(f"{access}: {found}", rule=rule, hint=hint)
        self.access = access
        self.found = found


class StreamError(VfioError):
    """The migration stream holds what it may not hold.

    :param position: bytes from the stream's start, of the offending item
    """

    def __init__(
        self, position: int, message: str, *, rule: str | None = None, hint: str | None = None
    ) -> None:
        super().__init__(f"stream at byte {position:#x}: {message}", rule=rule, hint=hint)
        self.position = position


class StreamCutError(StreamError):
    """The migration stream ends in the middle of something."""


class StateError(VfioError):
    """The action is not possible now.

    :param action: what was asked for
    :param actual: the state found
    :param wanted: the states in which it is possible
    """

    def __init__(
        self, action: str, actual: object, wanted: Iterable[object], *, rule: str | None = None
    ) -> None:
        self.actual = actual
        self.wanted = tuple(wanted)
        names = " or ".join(_state_name(state) for state in self.wanted)
        super().__init__(f"cannot {action} in {_state_name(actual)}: needs {names}", rule=rule)


def _state_name(state: object) -> str:
    return str(getattr(state, "name", None) or state)


class MigrationError(VfioError):
    """The migration as a whole could not start or did not end well."""


class MigrationBlockedError(MigrationError):
    """A device cannot be migrated; the message gives the reason."""


class MigrationCancelledError(MigrationError):
    """The migration was cancelled; the source runs on."""


class MigrationFailedError(MigrationError):
    """The migration failed; the cause is chained, the source runs on."""


class VerifyError(MigrationError):
    """After the migration the destination differs from the source."""


class TraceError(VfioError):
    """A trace-events file, an event or a pattern is not as the grammar has it."""


class LabError(VfioError):
    """The lab could not be prepared, or its guest could not be started or died."""


class RecordingError(VfioError):
    """A recording cannot be written or read, or holds what it may not hold."""


class AddressError(VfioError):
    """A device's address or one of its options cannot be understood."""


class MissingExtraError(VfioError, ImportError):
    """An optional package is needed for this."""

    def __init__(self, package: str, extra: str) -> None:
        VfioError.__init__(
            self, f"this needs the package {package!r}", hint=f"pip install 'vfiokit[{extra}]'"
        )
