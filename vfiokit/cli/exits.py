"""Exit codes: what a script can tell from them."""

from __future__ import annotations

from vfiokit.errors import (
    AddressError,
    DeviceError,
    LabError,
    MigrationBlockedError,
    MigrationCancelledError,
    MigrationFailedError,
    VerifyError,
    VfioError,
)

__all__ = ("EXIT_CODES", "exit_code")

EXIT_CODES: dict[int, str] = {
    0: "done",
    1: "found something: lint errors, a file that is not what it should be",
    2: "the command line or a device's address is wrong",
    3: "the device cannot be reached, or refused",
    4: "the migration is blocked: a device does not support it",
    5: "the migration failed; the source runs on",
    6: "the destination differs from the source",
    125: "the lab's guest could not be started, or died",
    130: "cancelled",
}

# The first that fits counts.
_CODES: tuple[tuple[type[VfioError], int], ...] = (
    (AddressError, 2),
    (MigrationBlockedError, 4),
    (VerifyError, 6),
    (MigrationCancelledError, 130),
    (MigrationFailedError, 5),
    (LabError, 125),
    (DeviceError, 3),
)


def exit_code(error: VfioError) -> int:
    """Return the code for *error*."""
    return next((code for kind, code in _CODES if isinstance(error, kind)), 1)
