"""What the terminal debugger shows of a moment, as text."""

from __future__ import annotations

from collections.abc import Sequence

from vfiokit.debugger import Debugger, Moment, flow_stack
from vfiokit.debugger.moment import DeviceMoment, Fact
from vfiokit.uapi.migration_v5 import REGISTERS, state_name
from vfiokit.units import show_ns, show_rate, show_size

__all__ = ("event_lines", "last_lines", "moment_lines", "next_lines", "sparkline")

_BARS = "▁▂▃▄▅▆▇█"
_STATES = (("running", 1), ("pre-copy", 3), ("stop-and-copy", 2), ("stopped", 0), ("resuming", 4))


def sparkline(values: Sequence[int], width: int = 40) -> str:
    """Return the last *width* values as bars, the largest the highest."""
    shown = values[-width:]
    top = max(shown, default=0)
    if not top:
        return _BARS[0] * len(shown)
    return "".join(_BARS[min(value * len(_BARS) // (top + 1), len(_BARS) - 1)] for value in shown)


def moment_lines(moment: Moment) -> list[str]:
    """Return VM, migration, stream, and every device with its registers."""
    lines = [f"after {moment.count} accesses, at {show_ns(moment.time_ns)}"]
    for name, side in moment.sides.items():
        lines.append(
            f"{name:<12} VM {side.vm}, migration {side.migration}, stream {show_size(side.stream)}, "
            f"{side.marked} pages reported dirty"
        )
        if side.sample is not None:
            sample = side.sample
            lines.append(
                f"  turn {sample.turn}: {show_size(sample.total)} pending, "
                f"stops below {show_size(sample.threshold)}, {show_rate(sample.bandwidth)}, "
                f"{sample.dirty_pages} dirty pages"
            )
        for device, known in side.devices.items():
            if device and known.registers:
                lines += device_lines(device, known)
    return lines


def device_lines(name: str, device: DeviceMoment) -> list[str]:
    """Return one device: the state machine, its registers, pending bytes over time."""
    machine = "  ".join(f"[{text}]" if device.state & 7 == value else text for text, value in _STATES)
    lines = [f"  {name}: {machine}"]
    for register in REGISTERS.values():
        if register.name in device.registers:
            value = device.registers[register.name]
            note = f"  {state_name(value)}" if register.name == "device_state" else ""
            mark = "*" if register.name == device.changed else " "
            lines.append(f"   {mark}{register.offset:#04x} {register.name:<14} {value:#x}{note}")
    if device.pending:
        lines.append(f"    pending {sparkline(device.pending)} {show_size(device.pending[-1])}")
    if device.chunks:
        lines.append(f"    {device.chunks} reads or writes of data, {show_size(device.data)}")
    return lines


def next_lines(debugger: Debugger) -> list[str]:
    """Return the access about to be performed, with its meaning."""
    access = debugger.next_access
    if access is None:
        return ["nothing more to step"]
    meaning = debugger.explain()
    inside = flow_stack.callback(debugger.where())
    place = debugger.side + (f", in {inside.function}" if inside else "")
    return [f"next, {place}: {access}", *([f"      {meaning}"] if meaning else [])]


def last_lines(history: Sequence[Fact], count: int = 10) -> list[str]:
    """Return the last accesses, with what they gave."""
    start = max(len(history) - count, 0)
    return [f"{number:>6} {fact_text(fact)}" for number, fact in enumerate(history[start:], start=start)]


def fact_text(fact: Fact) -> str:
    """Return one access and what came of it."""
    came = ""
    if fact.error:
        came = f"  -> {fact.error}"
    elif fact.kind == "Read":
        came = f"  -> {fact.value:#x}"
    return f"{fact.side:<12} {fact.text}{came}"


def event_lines(history: Sequence[Fact], count: int = 10) -> list[str]:
    """Return the last trace events."""
    found = [f"{fact.side:<12} {fact.text.removeprefix('trace ')}" for fact in history if fact.kind == "Emit"]
    return found[-count:]
