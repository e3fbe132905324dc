"""Where a debugger stands, as HTML: what comes next, VM, migration, devices, and what came of the last verb.

Texts of devices are data: all of it is escaped.
"""

from __future__ import annotations

from vfiokit.console.display import next_lines
from vfiokit.debugger import Debugger, Stop
from vfiokit.debugger.moment import Moment
from vfiokit.errors import VfioError
from vfiokit.uapi.migration_v5 import state_name
from vfiokit.units import show_ns, show_size
from vfiokit.view.theme import Theme, escaped

__all__ = ("message_html", "next_html", "status_html")


def status_html(moment: Moment, look: Theme) -> str:
    """Return the moment as a row of facts a side: VM, migration, each device's state and pending bytes."""
    rows = []
    for name, side in list(moment.sides.items()):
        facts = [("VM", side.vm), ("migration", side.migration), ("stream", show_size(side.stream))]
        for device, known in list(side.devices.items()):
            if device and known.registers:
                state = state_name(known.state)
                pending = known.registers.get("pending_bytes")
                facts.append(
                    (device, state + (f", {show_size(pending)} pending" if pending is not None else ""))
                )
        if side.sample is not None:
            facts.append(("turn", f"{side.sample.turn}, {show_size(side.sample.total)} of all pending"))
        cells = " ".join(  # with room to go on in the next line
            f'<span style="margin-right:14px;white-space:nowrap"><span style="color:{look.muted}">'
            f"{escaped(label)}</span> <b>{escaped(text)}</b></span>"
            for label, text in facts
        )
        head = f'<span style="display:inline-block;min-width:92px">{escaped(name)}</span>'
        rows.append(f'<div data-side="{escaped(name)}">{head}{cells}</div>')
    when = f"after {moment.count:,} accesses, at {show_ns(moment.time_ns)}"
    return f'<div class="vfiokit-status" style="color:{look.muted}">{escaped(when)}</div>{"".join(rows)}'


def next_html(debugger: Debugger, look: Theme) -> str:
    """Return the access about to be performed, with what it means."""
    first, *more = next_lines(debugger)
    meaning = "".join(f'<div style="color:{look.muted}">{escaped(line.strip())}</div>' for line in more)
    return f'<div class="vfiokit-next"><b>{escaped(first)}</b></div>{meaning}'


def message_html(verb: str, came: Stop | Exception | None, look: Theme) -> str:
    """Return what came of a verb: why it stopped, or the error with its rule and its hint."""
    if came is None:
        return ""
    error = came if isinstance(came, Exception) else came.error or came.refused
    if error is not None:
        told = str(error) if isinstance(error, VfioError) else f"{type(error).__name__}: {error}"
        lines = "<br>".join(escaped(line) for line in told.splitlines())
        return f'<div role="alert" style="color:{look.bad}">{escaped(verb)}: {lines}</div>'
    assert isinstance(came, Stop)
    why = {
        "breakpoint": f"stopped at breakpoint {came.breakpoint}",
        "starved": "the destination waits for the source",
        "paused": "paused",
        "ended": "the migration has ended",
    }.get(came.reason, "")
    return f"<div>{escaped(f'{verb}: {why}')}</div>" if why else ""
