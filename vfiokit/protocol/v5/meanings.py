"""What an access means, in words: shown before it is performed.

A register's meaning depends on who touches it, how, and on the state the device was put into
(v5 spec 1.3, 1.6); the stream's items mean what the format says (v5 spec 4).
"""

from __future__ import annotations

from typing import NamedTuple

from vfiokit import accesses as a
from vfiokit.uapi.migration_v5 import VFIO_DEVICE_STATE_MASK, state_name

__all__ = ("explain",)

_RESUMING = 4


class _Meaning(NamedTuple):
    text: str
    spec: str


# (register, "r" or "w", resuming?) to what the vendor driver is told by it.
_REGISTERS: dict[tuple[str, str], _Meaning] = {
    ("pending_bytes", "r"): _Meaning("how many bytes are left to be migrated; no side effects", "1.3"),
    ("data_offset", "r"): _Meaning("stage the next chunk in the data section and tell its place", "1.3, 2.1"),
    ("data_size", "r"): _Meaning("how many bytes were staged; 0: nothing just now", "1.3"),
    ("start_pfn", "w"): _Meaning("the first page of the range whose dirty pages are wanted", "2.4"),
    ("page_size", "w"): _Meaning("the page size of that request", "2.4"),
    ("total_pfns", "w"): _Meaning("how many pages the request has", "2.4"),
    ("copied_pfns", "r"): _Meaning(
        "take the snapshot of dirty pages; how many pages its bitmap covers, 0 none, ~0 all", "1.3, 2.4"
    ),
}
_RESUMING_REGISTERS: dict[tuple[str, str], _Meaning] = {
    ("data_offset", "r"): _Meaning("where the next chunk of the source is to be put", "2.3"),
    ("data_size", "w"): _Meaning(
        "the chunk has this many bytes: consume it if it is there, else it is about to be written", "2.3"
    ),
}
_STATES = {
    0: "stop; nothing of the device may change once this write has returned",
    1: "run",
    2: "stop, and give all that is left",
    3: "save while running: pre-copy begins",
    4: "take what the source saved",
}
_PUTS = {
    "DEV_SETUP_STATE": "the device's setup section begins",
    "DEV_CONFIG_STATE": "the VMM's config state of the device follows",
    "DEV_DATA_STATE": "a chunk follows: its size, then its bytes",
    "END_OF_STATE": "the device's section ends, or its config state does",
}


def explain(access: a.Access, state: int) -> str:
    """Return what *access* means for a device that was last put into *state*; "" when it says it itself.

    :param state: the cached ``device_state``
    """
    if isinstance(access, a.Write) and access.field == "device_state":
        wanted = access.value & VFIO_DEVICE_STATE_MASK
        arc = f"{state_name(state)} to {state_name(access.value)}"
        return f"{arc}: {_STATES.get(wanted, 'not a state a VMM may ask for')} (v5 spec 3.2)"
    if isinstance(access, (a.Read, a.Write)):
        key = (access.field, "r" if isinstance(access, a.Read) else "w")
        resuming = bool(state & _RESUMING)
        meaning = (_RESUMING_REGISTERS.get(key) if resuming else None) or _REGISTERS.get(key)
        return f"{meaning.text} (v5 spec {meaning.spec})" if meaning else ""
    if isinstance(access, a.ReadData):
        return "read the chunk, or the bitmap, that was staged: it counts as consumed (v5 spec 1.5)"
    if isinstance(access, a.WriteData):
        return "hand over a chunk as it was read, in the source's order (v5 spec 2.3)"
    if isinstance(access, a.Put):
        return _PUTS.get(access.what, "")
    if isinstance(access, a.MarkDirty):
        return "these pages of guest memory must be sent again (v5 spec 7)"
    if isinstance(access, a.Map):
        return "map a part of the data section; the header is never mapped (v5 spec 6.5)"
    return ""
