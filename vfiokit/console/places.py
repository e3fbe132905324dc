"""Places as people type them after ``break``, ``until`` and ``watch``.

===================================== =================================================
``vfio_save_*``                       a trace event, stops after it
``read data_offset``, ``write *``     an access, stops before it; also put, take, map …
``state stop-and-copy``               a state of a device, the VM or the migration
``pending < 1M``                      once a read of pending_bytes gave less
``turn 5``, ``time 20ms``             a turn of the loop, a time of the session
``if data_size > 1M``                 a condition alone; it may follow any of the others
``… device NAME``, ``… side source``  only there
===================================== =================================================
"""

from __future__ import annotations

from typing import Any

from vfiokit.debugger.conditions import number
from vfiokit.errors import AddressError

__all__ = ("parse_place",)

_ACCESSES = ("read", "write", "put", "take", "map", "unmap", "query", "readdata", "writedata", "markdirty",
             "synclog", "readpages", "writepages", "wait", "now", "say", "enter")  # fmt: skip


def parse_place(words: list[str]) -> dict[str, Any]:
    """Return what a Breakpoint is made of; AddressError when *words* are no place."""
    words = list(words)
    place: dict[str, Any] = {}
    if "if" in words:
        at = words.index("if")
        place["condition"] = " ".join(words[at + 1 :])
        words = words[:at]
    for key in ("device", "side"):
        if key in words[:-1]:
            at = words.index(key)
            place[key] = words[at + 1]
            del words[at : at + 2]
    if not words:
        if "condition" not in place:
            raise AddressError(
                "where?", hint="an event, read REGISTER, state NAME, pending < SIZE, if CONDITION"
            )
        return place
    match words:
        case ["state", *name]:
            place["state"] = " ".join(name)
        case ["pending", "<", size]:
            place.update(register="pending_bytes", condition=f"value < {number(size)}")
        case ["turn", text]:
            place["condition"] = f"turn >= {number(text)}"
        case ["time", text]:
            place["condition"] = f"time >= {number(text)}"
        case [verb, *rest] if verb in _ACCESSES:
            place["access"] = (
                " ".join([verb, *rest])
                if rest or verb not in ("read", "write", "put", "take")
                else f"{verb} *"
            )
        case [event]:
            place["event"] = event
        case _:
            raise AddressError(f"{' '.join(words)!r} is no place", hint="see `help break`")
    return place
