"""An event's format at work: arguments to text, as C's printf makes it, and text back to arguments.

:func:`compile_format` makes a :class:`Format` of an event, once. Widths are those of a 64-bit Linux host:
``long`` is 64 bits, ``%d`` of a ``uint32_t`` prints as signed, ``%x`` of a ``uint64_t`` prints its low half,
``%s`` of NULL prints ``(null)`` and ``%p`` of it ``(nil)``. Hexadecimal is lower case and not padded unless
the format says so. The slip ``%0x8`` does what C does: a number, then an 8.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import lru_cache

from vfiokit.errors import TraceError
from vfiokit.trace.conversions import Conversion, Gap, Text, decode, take_apart
from vfiokit.trace.grammar import Argument, Event
from vfiokit.trace.hosts import CType

__all__ = ("Format", "Value", "bits_of", "compile_format")

Value = int | str | None
"""An argument: integers and addresses as int, strings as str, a NULL string as None."""

_LENGTH_BITS = {"hh": 8, "h": 16, "": 32}
_DIGITS = {"d": "[0-9]", "i": "[0-9]", "u": "[0-9]", "o": "[0-7]", "x": "[0-9a-fA-F]", "X": "[0-9a-fA-F]"}
_BASE = {"o": 8, "x": 16, "X": 16}
# What the events of v5 have between the device's name and the rest, and v7 has not: `` (%s), pending``.
_COMMA = re.compile(r"\A\),? ")


def bits_of(conversion: Conversion) -> int:
    """Return how many bits of its argument a conversion prints."""
    if conversion.macro is not None:
        kind = conversion.macro[4:]
        if kind.startswith("FAST") and kind != "FAST8":
            return 64
        return {"8": 8, "16": 16, "32": 32}.get(kind.removeprefix("LEAST").removeprefix("FAST"), 64)
    return _LENGTH_BITS.get(conversion.length, 64)


def _wrap(value: int, bits: int, signed: bool) -> int:
    """Read the low *bits* of a value anew."""
    value &= (1 << bits) - 1
    return value - (1 << bits) if signed and value >> (bits - 1) else value


def _printer(conversion: Conversion) -> tuple[str, Callable[[Value], object] | None]:
    """Return what stands for a conversion in a Python ``%`` template, and what prepares its argument."""
    flags = conversion.flags.replace("'", "")  # groups thousands in no locale QEMU prints in
    width, precision, kind = conversion.width, conversion.precision, conversion.kind
    if kind == "s":
        return (
            f"%{flags.replace('0', '')}{width}{precision}s",
            lambda value: "(null)" if value is None else value,
        )
    if kind == "p":
        return f"%{flags.replace('0', '')}{width}s", lambda value: f"{value:#x}" if value else "(nil)"
    if kind == "c":
        return f"%{flags.replace('0', '')}{width}c", lambda value: int(value or 0) & 0xFF
    bits, signed = bits_of(conversion), kind in "di"
    if precision:
        flags = flags.replace("0", "")  # C: with a precision the 0 flag is ignored
    if not signed:
        flags = flags.replace("+", "").replace(" ", "")
    mask = (1 << bits) - 1
    half = 1 << (bits - 1)
    alternate = "#" in flags
    flags = flags.replace("#", "")

    def number(value: Value) -> object:
        low = int(value or 0) & mask
        return low - (1 << bits) if signed and low & half else low

    if alternate or precision in (".", ".0"):
        # Rare, and not the same in Python: a string, made here, stands for the number.
        return f"%{flags.replace('0', '')}{width}s", lambda value: _special(
            number(value), kind, precision, alternate
        )
    return f"%{flags}{width}{precision}{'d' if kind in 'iu' else kind}", number


def _special(value: object, kind: str, precision: str, alternate: bool) -> str:
    number = int(str(value))
    digits = f"%{precision}{'d' if kind in 'iu' else kind}" % number
    if precision in (".", ".0") and number == 0:
        digits = ""
    if alternate and kind in "xX" and number:
        return f"0{kind}{digits}"
    if alternate and kind == "o" and not digits.startswith("0"):
        return f"0{digits}"
    return digits


def _reader(conversion: Conversion, type_: CType) -> tuple[str, Callable[[str], Value]]:
    """Return the regular expression of a conversion, one group, and what makes an argument of the group."""
    kind = conversion.kind
    padded = r"\s*" if conversion.width else ""
    after = padded if "-" in conversion.flags else ""
    before = "" if after else padded
    if kind == "s":
        return f"{before}(.*?){after}", lambda text: None if text == "(null)" else text
    if kind == "p":
        return rf"{before}(0x[0-9a-f]{{1,16}}|\(nil\)|[0-9a-f]{{1,16}}){after}", (
            lambda text: 0 if text == "(nil)" else int(text, 16)
        )
    bits = type_.bits
    if kind == "c":
        return "(.)", lambda text: _wrap(ord(text), bits, type_.signed)
    # No more digits than the widest value or the padding has: what is longer was not printed by this format.
    printed = bits_of(conversion)
    base = _BASE.get(kind, 10)
    widest = len({8: f"{1 << printed:o}", 16: f"{1 << printed:x}"}.get(base, f"{1 << printed}"))
    most = max(widest, int(conversion.width or 0), int(conversion.precision[1:] or 0))
    least = 0 if conversion.precision in (".", ".0") else 1
    sign = ("[-+ ]?" if set(conversion.flags) & set("+ ") else "-?") if kind in "di" else ""
    mark = "(?:0[xX])?" if "#" in conversion.flags and kind in "xX" else ""
    signed = type_.signed and not type_.stars

    def number(text: str) -> Value:
        value = int(text.strip() or "0", base)
        if not -(1 << printed - 1) <= value < 1 << printed:
            raise ValueError(text)
        return _wrap(value, bits, signed)

    return f"{before}({sign}{mark}{_DIGITS[kind]}{{{least},{most}}}){after}", number


class Format:
    """One event's format, ready to print and to read.

    Made by :func:`compile_format`.
    """

    def __init__(self, event: Event) -> None:
        self.event = event
        self._prepare: list[Callable[[Value], object]] = []
        self._read: list[Callable[[str], Value]] = []
        self._fine: list[str] = []  # the pattern, piece by piece; a literal character is one
        self._beginnings: dict[int, re.Pattern[str]] = {}
        self._template = ""
        template = ""
        arguments = list(event.arguments)
        literal = ""
        after_text = False
        for part in (*take_apart(event.format), None):
            if isinstance(part, Text) or (isinstance(part, Conversion) and part.kind == "%"):
                text = decode(part.raw) if isinstance(part, Text) else "%"
                template += text.replace("%", "%%")
                literal += text
                continue
            if isinstance(part, Gap):
                continue
            if literal:
                comma = _COMMA.match(literal) if after_text and len(self._read) == 1 else None
                if comma:
                    self._fine.extend((r"\)", ",?", r"\ "))
                    literal = literal[comma.end() :]
                self._fine.extend(map(re.escape, literal))
                literal = ""
            if part is None:
                break
            if not isinstance(part, Conversion) or not arguments:
                raise self._refuse("is malformed" if arguments else "has more conversions than arguments")
            after_text = self._add(part, arguments.pop(0))
            template += self._template
        self.template = template
        self._pattern = re.compile("".join(self._fine), re.DOTALL)

    def _refuse(self, what: str) -> TraceError:
        event = self.event
        where = f"{event.source}:{event.line}: {event.name}"
        return TraceError(f"{where}: the format {event.format} {what}", hint="vfiokit trace lint tells more")

    def _add(self, part: Conversion, argument: Argument) -> bool:
        type_ = argument.type
        if not part.is_complete or part.stars or part.kind not in "diouxXspc":
            raise self._refuse(f"has {part}, which cannot be printed here")
        if (part.kind == "s") != type_.is_text and (part.kind == "s" or part.kind != "p"):
            raise self._refuse(f"has {part} for {argument}")
        self._template, prepare = _printer(part)
        if prepare is not None:
            self._prepare.append(prepare)
        pattern, read = _reader(part, type_)
        self._fine.append(pattern)
        self._read.append(read)
        return part.kind == "s"

    def text(self, values: Sequence[Value]) -> str:
        """Return the text of an event with these arguments, in the order of their declaration.

        Arguments that the format does not print are left out, as C leaves them out.
        """
        return self.template % tuple(
            [prepare(value) for prepare, value in zip(self._prepare, values, strict=False)]
        )

    def read(self, text: str) -> tuple[Value, ...] | None:
        """Return the arguments that *text* was made of, or None if it was not made with this format.

        Reads both the v5 style `` (name), pending`` and the later `` (name) pending``. What a format does
        not print whole comes back as far as it was printed.
        """
        match = self._pattern.fullmatch(text)
        if match is None:
            return None
        try:
            return tuple([read(group) for read, group in zip(self._read, match.groups(), strict=True)])
        except ValueError:
            return None  # a number that the conversion cannot have printed

    def mismatch(self, text: str) -> int:
        """Return how many characters of *text* go along with the format."""
        # If a beginning of the format goes along, so do the shorter ones: halve the distance.
        good, bad, at = 0, len(self._fine) + 1, 0
        while bad - good > 1:
            middle = (good + bad) // 2
            match = self._beginning(middle).match(text)
            if match is None:
                bad = middle
            else:
                good, at = middle, match.end()
        return at

    def _beginning(self, count: int) -> re.Pattern[str]:
        if count not in self._beginnings:
            self._beginnings[count] = re.compile("".join(self._fine[:count]), re.DOTALL)
        return self._beginnings[count]


@lru_cache(maxsize=8192)
def compile_format(event: Event) -> Format:
    """Compile an event's format; kept, so the second call costs nothing.

    :raises TraceError: the format is malformed, or does not go with the arguments
    """
    return Format(event)
