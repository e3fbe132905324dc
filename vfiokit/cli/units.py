"""Sizes and times as options of a command."""

from __future__ import annotations

import re
from typing import Any

import click

__all__ = ("DURATION", "SIZE")

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
