"""Conditions as people type them: ``pending_bytes < 1M and device_state == 3``.

A comparison is NAME OP VALUE; several are joined by ``and``. Names are whatever the moment knows: registers,
``value`` of the access, ``turn``, ``transferred``, ``time`` (ns), ``stream`` (bytes put), ``size``.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping

from vfiokit.errors import AddressError

__all__ = ("Condition", "number", "parse_condition")

Condition = Callable[[Mapping[str, int]], bool]

_OPERATORS: dict[str, Callable[[int, int], bool]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<=": operator.le,
    ">=": operator.ge,
    "<": operator.lt,
    ">": operator.gt,
    "&": lambda left, right: bool(left & right),
}
_COMPARISON = re.compile(r"\s*([a-z_]+)\s*(==|!=|<=|>=|<|>|&)\s*(\S+)\s*\Z")
_NUMBER = re.compile(r"(0x[0-9a-fA-F]+|\d+(?:\.\d+)?)(ns|us|ms|s|[KMGT](?:i?B)?)?\Z")
_FACTORS = {
    "ns": 1,
    "us": 10**3,
    "ms": 10**6,
    "s": 10**9,
    "K": 1 << 10,
    "M": 1 << 20,
    "G": 1 << 30,
    "T": 1 << 40,
}


def number(text: str) -> int:
    """Read a number: ``0x40``, ``1M``, ``20ms``; AddressError when it is none."""
    match = _NUMBER.match(text)
    if not match:
        raise AddressError(f"{text!r} is no number", hint="as 4096, 0x1000, 1M, or 20ms")
    if match[1].startswith("0x"):
        value = float(int(match[1], 16)) if match[2] else int(match[1], 16)
    else:
        value = float(match[1]) if "." in match[1] else int(match[1])
    suffix = match[2] or ""
    factor = _FACTORS.get(suffix) or _FACTORS.get(suffix[:1], 1)
    return int(value * factor)


def parse_condition(text: str) -> Condition:
    """Return a function of the moment's names; a name that is not known yet makes it false."""
    tests: list[tuple[str, Callable[[int, int], bool], int]] = []
    for part in re.split(r"\band\b", text):
        match = _COMPARISON.match(part)
        if not match:
            raise AddressError(
                f"condition {part.strip()!r} cannot be understood",
                hint="NAME OP VALUE, as pending_bytes < 1M; OP is one of " + " ".join(_OPERATORS),
            )
        tests.append((match[1], _OPERATORS[match[2]], number(match[3])))

    def holds(names: Mapping[str, int]) -> bool:
        return all(name in names and test(names[name], value) for name, test, value in tests)

    return holds
