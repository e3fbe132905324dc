"""Sizes, rates and times as people write and read them."""

from __future__ import annotations

import math
import re
from typing import Any

import click

__all__ = ("DURATION", "SIZE", "show_ns", "show_rate", "show_size")

_FACTORS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
_TIMES = {"ns": 1, "us": 10**3, "ms": 10**6, "s": 10**9, "min": 60 * 10**9}


class _Size(click.ParamType[int]):
    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        match = re.fullmatch(r"(\d+(?:\.\d+)?)([KMGT]?)(?:i?B)?(?:/s)?", value.strip(), re.IGNORECASE)
        if not match:
            self.fail(f"{value!r}: give bytes with K, M, G or T, as 256M", param, ctx)
        return int(float(match[1]) * _FACTORS[match[2].upper()])


class _Duration(click.ParamType[int]):
    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        match = re.fullmatch(r"(\d+(?:\.\d+)?)(ns|us|ms|s|min)", value.strip())
        if not match:
            self.fail(f"{value!r}: give a number with ns, us, ms, s or min, as 300ms", param, ctx)
        return int(float(match[1]) * _TIMES[match[2]])


SIZE = _Size()
DURATION = _Duration()


def show_size(size: float) -> str:
    """Return bytes in binary units: ``1.50 MiB``."""
    if size < 1024:
        return f"{size:.0f} B"
    power = min(int(math.log(size, 1024)), 4)
    return f"{size / 1024**power:.2f} {('B', 'KiB', 'MiB', 'GiB', 'TiB')[power]}"


def show_rate(rate: float) -> str:
    """Return bytes a second in binary units."""
    return f"{show_size(rate)}/s"


def show_ns(ns: float) -> str:
    """Return a time in the unit that fits: ``12.3 ms``."""
    for unit, factor in (("s", 10**9), ("ms", 10**6), ("µs", 10**3)):
        if abs(ns) >= factor:
            return f"{ns / factor:.3g} {unit}" if abs(ns) < 100 * factor else f"{ns / factor:.0f} {unit}"
    return f"{ns:.0f} ns"
