"""Axes of bytes, times and addresses: their labels are made in the page, by how far it is zoomed."""

from __future__ import annotations

from bokeh.models import AdaptiveTicker, Axis, CustomJSTickFormatter, TickFormatter

__all__ = ("bytes_axis", "hex_axis", "time_axis")

# The code runs in the page: `tick` is the number, `ticks` all that are shown.
_BYTES_JS = """
const units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"]
const most = Math.max(...ticks.map(Math.abs))
let unit = 0
while (unit < 6 && most >= 1024 ** (unit + 1)) unit++
const value = tick / 1024 ** unit
return `${+value.toFixed(2)} ${units[unit]}`
"""
# As many digits as the distance of the ticks needs: zoomed in, neighbours still differ.
_NS_JS = """
const units = [[1e9, "s"], [1e6, "ms"], [1e3, "µs"], [1, "ns"]]
const most = Math.max(...ticks.map(Math.abs))
const [size, name] = units.find(([size, _]) => most >= size) ?? units[3]
const apart = ticks.length > 1 ? Math.abs(ticks[1] - ticks[0]) / size : 1
const digits = Math.min(9, Math.max(0, Math.ceil(-Math.log10(apart) - 1e-9)))
return `${(tick / size).toFixed(digits)} ${name}`
"""
_HEX_JS = """
return (tick < 0 ? "-0x" : "0x") + Math.abs(Math.round(tick)).toString(16)
"""


def bytes_axis(axis: Axis, per_second: bool = False) -> None:
    """Label an axis of bytes in KiB, MiB, GiB …, with ticks at powers of two."""
    suffix = "/s" if per_second else ""
    axis.formatter = _script(_BYTES_JS.replace("}`\n", f"}}{suffix}`\n"))
    axis.ticker = _binary_ticker(1024, 512)


def time_axis(axis: Axis) -> None:
    """Label an axis of nanoseconds in s, ms, µs or ns, by how far it is zoomed."""
    axis.formatter = _script(_NS_JS)


def hex_axis(axis: Axis) -> None:
    """Label an axis of page frame numbers or addresses in hex, with ticks at powers of two."""
    axis.formatter = _script(_HEX_JS)
    axis.ticker = _binary_ticker(16, 8)


def _script(code: str) -> TickFormatter:
    return CustomJSTickFormatter(code=code)


def _binary_ticker(base: int, last: int) -> AdaptiveTicker:
    mantissas = [float(1 << bit) for bit in range(last.bit_length())]
    return AdaptiveTicker(
        base=base, mantissas=mantissas, min_interval=1, num_minor_ticks=0, desired_num_ticks=6
    )
