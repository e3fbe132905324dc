"""A trace format taken apart: text, conversions and the macros between the quotes.

The FORMAT of a trace event is C source: string literals and ``inttypes.h`` macros in a row,

    " (%s) pending 0x%"PRIx64" of %d"

:func:`take_apart` makes a tuple of parts of it, even of a broken one, and :func:`put_together` writes the
parts as C source again. For a sound format the two are each other's inverse, blank for blank; that is what
lets a correction change one conversion and leave the rest of the line as its author wrote it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from vfiokit.trace.hosts import is_known_macro

__all__ = ("Conversion", "Gap", "Junk", "Part", "Text", "Word", "decode", "put_together", "take_apart")


@dataclass(frozen=True, slots=True)
class Text:
    """Characters of a literal, escapes left as they are in the source."""

    raw: str


@dataclass(frozen=True, slots=True)
class Gap:
    """Where a literal ends and the next one begins, with the white space between."""

    raw: str


@dataclass(frozen=True, slots=True)
class Word:
    """An identifier outside the quotes that completes no conversion."""

    raw: str


@dataclass(frozen=True, slots=True)
class Junk:
    """What is neither literal, macro nor white space; an unpaired quotation mark is one, too."""

    raw: str


@dataclass(frozen=True, slots=True)
class Conversion:
    """One ``%`` and what follows it.

    It is completed by a letter, or by a PRI macro outside the quotes; if by neither, it is *incomplete*.

    :param flags: of ``-+ #0'``
    :param width: digits, ``*`` or nothing
    :param precision: with its dot, or nothing
    :param length: ``hh h l ll j z t q L`` or nothing
    :param letter: the conversion letter, or nothing
    :param macro: the PRI macro, or None
    :param blank: white space between the quote and the macro
    """

    flags: str = ""
    width: str = ""
    precision: str = ""
    length: str = ""
    letter: str = ""
    macro: str | None = None
    blank: str = ""

    @property
    def is_complete(self) -> bool:
        """Has it a letter or a macro."""
        return bool(self.letter or self.macro)

    @property
    def kind(self) -> str:
        """The letter, its own or the macro's; of an incomplete one nothing."""
        return self.macro[3] if self.macro else self.letter

    @property
    def stars(self) -> int:
        """How many arguments width and precision take."""
        return self.width.count("*") + self.precision.count("*")

    @property
    def head(self) -> str:
        """The conversion up to its length."""
        return f"%{self.flags}{self.width}{self.precision}"

    def __str__(self) -> str:
        return f"{self.head}{self.length}{self.letter}" + (f'"{self.blank}{self.macro}' if self.macro else "")


Part = Text | Gap | Word | Junk | Conversion

_TOKEN = re.compile(
    r"""(?P<literal>"(?:[^"\\]|\\.)*")|(?P<open>"(?:[^"\\]|\\.)*\\?\Z)|(?P<word>[A-Za-z_]\w*)"""
    r"""|(?P<blank>\s+)|(?P<junk>[^\s"A-Za-z_]+)""",
    re.DOTALL,
)
_CONVERSION = re.compile(
    r"%(?P<flags>[-+ #0']*)(?P<width>[1-9]\d*|\*)?(?P<precision>\.(?:\d+|\*)?)?"
    r"(?P<length>hh|h|ll|l|j|z|t|q|L)?(?P<letter>[diouxXeEfFgGaAcspnm%])?"
)
# What the newest tracetool takes in a literal; C knows a few more.
ESCAPE = re.compile(r'\\(?:[\\"abfnrt]|x[0-9A-Fa-f]{2}|(?P<bad>.?))', re.DOTALL)
_ESCAPES = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v", "0": "\0"}


def _literal(raw: str) -> Iterable[Part]:
    position = 0
    for match in _CONVERSION.finditer(raw):
        if match.start() > position:
            yield Text(raw[position : match.start()])
        fields = {key: value or "" for key, value in match.groupdict().items()}
        yield Conversion(**fields)
        position = match.end()
    if position < len(raw) or not raw:
        yield Text(raw[position:])


def take_apart(source: str) -> tuple[Part, ...]:
    """Take the C source of a format apart; never fails.

    A quotation mark without its partner becomes a :class:`Junk`. If a known macro stands alone behind it,
    as in ``0x%""PRIx64``, the macro is read as if the mark were not there, otherwise the rest of the line
    is read as a literal.
    """
    parts: list[Part] = []
    in_literal = False
    for match in _TOKEN.finditer(source.strip()):
        raw, group = match[0], match.lastgroup
        if group == "open":
            parts.append(Junk('"'))
            inner = raw[1:]
            group = "word" if is_known_macro(inner.strip()) else "literal"
            raw = inner.strip() if group == "word" else f'"{inner}"'
        if group == "literal":
            if in_literal:
                parts.append(Gap(""))
            parts.extend(_literal(raw[1:-1]))
            in_literal = True
        elif group == "word":
            _word(parts, raw)
            in_literal = False
        elif group == "blank":
            parts.append(Gap(raw))
            in_literal = False
        else:
            parts.append(Junk(raw))
            in_literal = False
    return tuple(parts)


def _word(parts: list[Part], raw: str) -> None:
    """Complete the conversion that the literal before ends in, or keep the word as a stray."""
    at = len(parts) - 1
    blank = ""
    marks: list[Part] = []
    while at >= 0 and isinstance(parts[at], (Gap, Junk)):
        part = parts[at]
        if isinstance(part, Junk):
            if part.raw != '"':
                break
            marks.append(part)
        else:
            blank = part.raw + blank  # type: ignore[union-attr]
        at -= 1
    last = parts[at] if at >= 0 else None
    if is_known_macro(raw) and isinstance(last, Conversion) and not last.is_complete and not last.length:
        parts[at:] = [
            Conversion(last.flags, last.width, last.precision, macro=raw, blank=blank),
            *marks,
        ]
    else:
        parts.append(Word(raw))


def put_together(parts: Iterable[Part]) -> str:
    """Write parts as C source. The inverse of :func:`take_apart` for a format without junk."""
    out: list[str] = []
    in_literal = False

    def quote(wanted: bool) -> None:
        nonlocal in_literal
        if in_literal != wanted:
            out.append('"')
            in_literal = wanted

    for part in parts:
        if isinstance(part, Text):
            quote(True)
            out.append(part.raw)
        elif isinstance(part, Conversion):
            quote(True)
            out.append(f"{part.head}{part.length}{part.letter}")
            if part.macro is not None:
                quote(False)
                out.append(part.blank + part.macro)
        else:
            quote(False)
            out.append(part.raw)
    quote(False)
    return "".join(out)


def decode(raw: str) -> str:
    """Resolve the escapes of a literal's characters."""

    def one(match: re.Match[str]) -> str:
        code = match[0][1:]
        return chr(int(code[1:], 16)) if code[:1] == "x" and len(code) > 1 else _ESCAPES.get(code, code)

    return ESCAPE.sub(one, raw)
