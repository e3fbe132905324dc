"""C types of trace arguments, and what printf makes of them on each kind of host.

A trace-events file is compiled on every host that QEMU is built for, and ``uint64_t`` is not the same
C type everywhere: ``unsigned long`` on 64-bit Linux, ``unsigned long long`` on 32-bit Linux, macOS and
Windows. A format that is right on one of them can be refused on the next. :data:`HOSTS` holds the kinds
that differ; :func:`fits` says whether a conversion takes an argument there, as GCC's ``-Wformat`` would.

The types are those that tracetool allows (QEMU ``scripts/tracetool``, ``ALLOWED_TYPES``).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from typing import Literal

from vfiokit.errors import TraceError

__all__ = ("ALLOWED_WORDS", "HOSTS", "MACROS", "CType", "Host", "ctype", "fits", "is_known_macro", "rank")

Rank = Literal["int", "long", "llong"]


@dataclass(frozen=True, slots=True)
class Host:
    """One kind of host: which basic C type stands behind each name.

    :param name: how findings name it
    :param word: bits of a pointer and of a variadic slot
    :param order: ``little`` or ``big``
    :param int64: rank of ``int64_t``
    :param size: rank of ``size_t`` and ``ssize_t``
    :param ptr: rank of ``ptrdiff_t`` and ``uintptr_t``
    :param intmax: rank of ``intmax_t``
    """

    name: str
    word: int
    order: Literal["little", "big"]
    int64: Rank
    size: Rank
    ptr: Rank
    intmax: Rank


# Sources: GCC's <stdint-gcc.h> per target, the macOS and the LLP64 (Windows) data models.
HOSTS = (
    Host("linux-64", 64, "little", "long", "long", "long", "long"),  # x86-64, aarch64, riscv64
    Host("linux-64-big-endian", 64, "big", "long", "long", "long", "long"),  # s390x, ppc64
    Host("linux-32", 32, "little", "llong", "int", "int", "llong"),  # i386, arm
    Host("linux-32-big-endian", 32, "big", "llong", "int", "int", "llong"),  # mips, ppc
    Host("macos-64", 64, "little", "llong", "long", "long", "long"),
    Host("windows-64", 64, "little", "llong", "llong", "llong", "llong"),
)


@dataclass(frozen=True, slots=True)
class CType:
    """A declared type, taken apart.

    :param base: ``char short int long llong int64 size ptr bool void``
    :param signed: of the base
    :param stars: how many ``*``
    """

    base: str
    signed: bool
    stars: int = 0

    @property
    def is_pointer(self) -> bool:
        """Is it any pointer."""
        return self.stars > 0

    @property
    def is_text(self) -> bool:
        """Is it a pointer to characters, so that ``%s`` takes it."""
        return self.stars == 1 and self.base == "char"

    @property
    def bits(self) -> int:
        """Width in bits, on a 64-bit Linux host; of a pointer 64, of ``bool`` 8."""
        if self.stars:
            return 64
        return {"bool": 8, "char": 8, "short": 16, "int": 32, "void": 0}.get(self.base, 64)

    @property
    def range(self) -> tuple[int, int]:
        """Least and greatest value, on a 64-bit Linux host."""
        if self.base == "bool" and not self.stars:
            return 0, 1
        if self.signed and not self.stars:
            return -(1 << self.bits - 1), (1 << self.bits - 1) - 1
        return 0, (1 << self.bits) - 1


_FIXED = {
    "int8_t": ("char", True),
    "uint8_t": ("char", False),
    "int16_t": ("short", True),
    "uint16_t": ("short", False),
    "int32_t": ("int", True),
    "uint32_t": ("int", False),
    "int64_t": ("int64", True),
    "uint64_t": ("int64", False),
    "size_t": ("size", False),
    "ssize_t": ("size", True),
    "ptrdiff_t": ("ptr", True),
    "uintptr_t": ("ptr", False),
    "bool": ("bool", False),
    "void": ("void", False),
}
_BASIC = frozenset(("int", "long", "short", "char", "unsigned", "signed"))
ALLOWED_WORDS = frozenset(_FIXED) | _BASIC | {"const"}


@cache
def ctype(declared: str) -> CType:
    """Take a declared type apart, as ``const char *`` or ``unsigned long``.

    :raises TraceError: a word of it is not one tracetool allows, or the words do not make a type
    """
    words = [word for word in declared.replace("*", " ").split() if word != "const"]
    stars = declared.count("*")
    for word in words:
        if word not in ALLOWED_WORDS:
            raise TraceError(
                f"argument type {declared!r}: {word!r} is not allowed in trace-events",
                rule="QEMU tracetool: basic C types, the stdint.h names, and pointers",
                hint="pass it as uint64_t or as void *",
            )
    if len(words) == 1 and words[0] in _FIXED:
        return CType(*_FIXED[words[0]], stars)
    counts = {word: words.count(word) for word in _BASIC}
    base = next((name for name in ("char", "short") if counts[name]), None)
    if base is None:
        base = ("int", "long", "llong")[min(counts["long"], 2)]
    elif counts["long"]:
        base = ""
    if (
        not words
        or not base
        or not set(words) <= _BASIC
        or any(n > 1 for w, n in counts.items() if w != "long")
    ):
        raise TraceError(f"argument type {declared!r}: the words do not make a C type")
    return CType(base, not counts["unsigned"], stars)


# inttypes.h: what stands behind the digits of a PRI macro.
_MACRO = re.compile(r"PRI(?P<letter>[diouxX])(?P<kind>(?:LEAST|FAST)?(?:8|16|32|64)|PTR|MAX)\Z")
MACROS = tuple(
    f"PRI{letter}{kind}"
    for letter in "diouxX"
    for kind in (*(f"{p}{n}" for p in ("", "LEAST", "FAST") for n in (8, 16, 32, 64)), "PTR", "MAX")
)


def is_known_macro(word: str) -> bool:
    """Is *word* a PRI macro of ``inttypes.h``."""
    return _MACRO.match(word) is not None


def rank(type_: CType, host: Host) -> str:
    """Return what a variadic argument of this type is after promotion: a rank, ``text`` or ``pointer``."""
    if type_.stars:
        return "text" if type_.is_text else "pointer"
    if type_.base in ("char", "short", "int", "bool"):
        return "int"
    named: dict[str, str] = {"int64": host.int64, "size": host.size, "ptr": host.ptr}
    return named.get(type_.base, type_.base)


def _wanted(length: str, letter: str, macro: str | None, host: Host) -> str:
    if macro is not None:
        match = _MACRO.match(macro)
        kind = match["kind"] if match else ""
        if kind.startswith("FAST") and kind != "FAST8":  # glibc: as wide as a word, 64 at least 64
            return host.int64 if kind == "FAST64" else host.ptr
        if kind.endswith("64"):
            return host.int64
        return {"PTR": host.ptr, "MAX": host.intmax}.get(kind, "int")
    if letter in "diouxX":
        named: dict[str, str] = {"l": "long", "z": host.size, "t": host.ptr, "j": host.intmax}
        return "llong" if length in ("ll", "q", "L") else named.get(length, "int")
    if length:
        return "wide"
    return {"c": "int", "s": "text", "p": "pointer"}.get(letter, "double")


def fits(length: str, letter: str, macro: str | None, type_: CType, host: Host) -> bool:
    """Does a conversion take an argument of this type on this host without a ``-Wformat`` warning.

    Signs are not compared: that is ``-Wformat-signedness``, which ``-Wall`` leaves off.
    """
    wanted, found = _wanted(length, letter, macro, host), rank(type_, host)
    return wanted == found or (wanted == "pointer" and found == "text")
