"""The report's first lines: the figures people ask for, and the environment of the run."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from vfiokit.reports.verdicts import outcome
from vfiokit.view.convergence import downtime
from vfiokit.view.picture import last_ns, origin_ns, texts
from vfiokit.view.theme import people_bytes, people_ns

if TYPE_CHECKING:
    from vfiokit.recording import Recording

__all__ = ("Fact", "environment", "facts", "subject")

_NAMES = {
    "vfiokit": "vfiokit that recorded",
    "python": "Python",
    "kernel": "kernel",
    "created": "recorded",
    "format": "format of the recording",
    "with_data": "bulk data kept",
    "source": "source's devices",
    "source_addresses": "source's addresses",
    "destination": "destination's devices",
    "destination_addresses": "destination's addresses",
    "memory": "guest memory",
    "profile": "VMM profile",
    "quirks": "quirks",
    "downtime_limit_ns": "downtime limit",
    "bandwidth": "bandwidth limit",
    "precopy_limit_ns": "pre-copy limit",
    "imported": "made of the log",
    "lines": "lines of the log",
    "events": "of which events",
}
_UNITS = {"memory": people_bytes, "downtime_limit_ns": people_ns, "precopy_limit_ns": people_ns}


class Fact(NamedTuple):
    """A figure and its name; *kind* is "good" or "bad" when it is one."""

    name: str
    text: str
    kind: str = ""


def subject(recording: Recording) -> str:
    """Return whom the recording is about: ``dev0 → dev1``."""
    ends = [recording.metadata.get(side, "").replace("!", "") for side in ("source", "destination")]
    named = list(dict.fromkeys(end for end in ends if end))
    if not named:
        table = recording.accesses
        named = sorted({name for name in texts(table, "device") if name is not None}) if len(table) else []
    return " → ".join(named) or recording.metadata.get("imported", "a recording")


def facts(recording: Recording) -> list[Fact]:
    """Return the figures of the summary, the outcome first."""
    ended, _ = outcome(recording)
    kinds = {"completed": "good", "failed": "bad"}
    words = {"none": "not told" if "imported" in recording.metadata else "no migration recorded"}
    found = [Fact("migration", words.get(ended, ended), kinds.get(ended, ""))]
    down = downtime(recording.states)
    if down is not None and down.side == "destination":
        found.append(Fact("downtime", people_ns(down.end - down.start)))
    found.append(Fact("duration", people_ns(last_ns(recording) - origin_ns(recording))))
    samples = [row for row in recording.samples.rows(columns=("side", "turn")) if row.side == "source"]
    if samples:
        found.append(Fact("turns of the loop", f"{samples[-1].turn:,}"))
    rows = recording.accesses
    if len(rows):
        sent = rows.column("size")[(texts(rows, "kind") == "Put") & ~rows.valid("error")]
        if len(sent):
            found.append(Fact("sent", people_bytes(int(sent.sum()))))
        found.append(Fact("accesses", f"{len(rows):,}"))
        wrong = int(rows.valid("error").sum())
        found.append(Fact("refused", f"{wrong:,}", "bad" if wrong else "good"))
    found.append(Fact("trace events", f"{len(recording.events):,}"))
    return found


def environment(recording: Recording) -> list[Fact]:
    """Return what the recording tells of its making, name by name; all of it is text from outside."""
    found = []
    for name, text in recording.metadata.items():
        unit = _UNITS.get(name)
        shown = f"{unit(int(text))} ({int(text):,})" if unit and text.isascii() and text.isdecimal() else text
        found.append(Fact(_NAMES.get(name, name), shown or "none"))
    return found
