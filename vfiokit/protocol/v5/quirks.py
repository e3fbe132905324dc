"""Quirks: where the posted code differs from the interface, visibly and without harm.

The flows do what the interface says. A *profile* names the quirks that a run shows beside it:
``interface`` has none, ``as-posted`` has all. Defects that lose data or reach out of bounds are not
quirks: they are mended in every profile (v5 spec 10.2).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from vfiokit.errors import AddressError

__all__ = ("AS_POSTED", "INTERFACE", "PROFILES", "QUIRKS", "Profile", "Quirk", "profile")


class Quirk(NamedTuple):
    """One quirk: its name, what is seen, and the finding of v5 spec 10.2 behind it."""

    name: str
    shows: str
    source: str


QUIRKS: dict[str, Quirk] = {
    quirk.name: quirk
    for quirk in (
        Quirk("saving-written-twice", "completion writes device_state = SAVING although the stop did", "V8"),
        Quirk(
            "iterate-ignores-pending",
            "data_offset is read with nothing pending; the record is DATA, 0",
            "V13",
        ),
        Quirk("pending-wraps", "the cached pending_bytes in vfio_save_buffer wraps below 0", "V14"),
        Quirk("bitmap-one-word-more", "one machine word more of the dirty bitmap is read", "V31"),
        Quirk("all-marks-whole-range", "_ALL in a later round marks the range of the whole request", "V32"),
        Quirk("command-cleared-whole", "config load writes 0 to the command register and MSI control", "V24"),
        Quirk("io-memory-forced-on", "config load turns IO and MEMORY on before the source's command", "V25"),
        Quirk("snapshot-by-way-of-stopped", "a snapshot goes 1, 0, 2 instead of 1, 2", "V11"),
    )
}


@dataclass(frozen=True)
class Profile:
    """A VMM's habits: a name and the quirks it has."""

    name: str
    quirks: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        unknown = sorted(self.quirks - QUIRKS.keys())
        if unknown:
            raise AddressError(f"no such quirk: {', '.join(unknown)}", hint=f"known are {', '.join(QUIRKS)}")

    def has(self, quirk: str) -> bool:
        """Tell whether the profile has *quirk*."""
        return quirk in self.quirks


INTERFACE = Profile("interface")
AS_POSTED = Profile("as-posted", frozenset(QUIRKS))
PROFILES = {profile.name: profile for profile in (INTERFACE, AS_POSTED)}


def profile(text: str) -> Profile:
    """Return the profile named *text*: ``interface``, ``as-posted``, or quirks joined by commas."""
    return PROFILES.get(text) or Profile(text, frozenset(part.strip() for part in text.split(",")))
