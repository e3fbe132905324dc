"""What was asked of ``device_state``, what was refused and by whom, and what the devices said."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

from vfiokit.view.picture import texts

if TYPE_CHECKING:
    from vfiokit.recording import Recording

__all__ = ("StateAccess", "StateAccesses")

# The VMM's message about a state that it did not even write: vfiokit.protocol.v5.states.set_state.
_NOT_WRITTEN = re.compile(r"device_state = (0x[0-9a-f]{1,8}) \(.*\) was not written: (.*)", re.DOTALL)


class StateAccess(NamedTuple):
    """A write or a read of ``device_state``, or a write that the VMM refused itself."""

    seq: int
    time: int  # ns
    side: str
    device: str
    write: bool
    value: int
    error: str  # "" when it came back well


class StateAccesses:
    """All of a recording.

    :ivar all: in order
    """

    def __init__(self, recording: Recording) -> None:
        self.recording = recording
        self.all: list[StateAccess] = []
        self._accesses = self._messages = 0  # rows read

    def update(self) -> None:
        """Read on."""
        found = [*self._new_accesses(), *self._new_messages()]
        if found:
            self.all += found
            self.all.sort(key=lambda one: one.seq)

    def _new_accesses(self) -> list[StateAccess]:
        new = self.recording.accesses.tail(self._accesses)
        self._accesses += len(new)
        places = (texts(new, "what") == "device_state").nonzero()[0]
        if not len(places):
            return []
        columns: list[Any] = [new.column(name)[places].tolist() for name in ("seq", "time_ns", "value")]
        columns += [texts(new, name)[places] for name in ("side", "device", "kind", "error", "message")]
        return [
            StateAccess(
                seq,
                time,
                side,
                device,
                kind == "Write",
                value,
                "" if error is None else f"{error}: {message or ''}",
            )
            for seq, time, value, side, device, kind, error, message in zip(*columns, strict=True)
            if kind in ("Read", "Write")
        ]

    def _new_messages(self) -> list[StateAccess]:
        rows = list(self.recording.messages.rows(self._messages))
        self._messages += len(rows)
        found = []
        for row in rows:
            said = _NOT_WRITTEN.fullmatch(row.text.removeprefix(f"{row.device}: "))
            if said is not None:
                why = f"the VMM did not write it: {said[2]}"
                found.append(
                    StateAccess(row.seq, row.time_ns, row.side, row.device, True, int(said[1], 16), why)
                )
        return found
