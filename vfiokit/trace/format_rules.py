"""The rules F1 to F11 of the lint: one event's format against its arguments.

:mod:`vfiokit.trace.lint` tells what each rule says; this module tells why, in the words of a finding.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from vfiokit.trace.conversions import ESCAPE, Conversion, Gap, Junk, Part, Text, Word, take_apart
from vfiokit.trace.corrections import is_slipped_width
from vfiokit.trace.grammar import Argument, Event
from vfiokit.trace.hosts import HOSTS, MACROS, fits, is_known_macro

__all__ = ("Item", "check")


@dataclass(frozen=True, slots=True)
class Item:
    """One mistake in a format; the fields are those of :class:`vfiokit.trace.lint.Finding`."""

    rule: str
    severity: Literal["error", "warning", "note"]
    message: str
    argument: str | None = None
    hosts: tuple[str, ...] = ()


def check(event: Event) -> list[Item]:
    """Check one event's format; the items come by rule."""
    if any(word.startswith("tcg") for word in event.properties):
        return []  # two formats in one; gone since QEMU 7.0
    if event.stray:
        message = f"{event.stray!r} stands between the arguments and the format; tracetool drops the format"
        return [Item("F1", "error", message)]
    if not event.format:
        return [Item("F1", "error", "no format behind the arguments; tracetool takes it for an empty one")]
    parts = take_apart(event.format)
    items = [*_tokens(event, parts), *_conversions(event, parts)]
    return sorted(items, key=lambda item: int(item.rule[1:]))


def _solid(parts: tuple[Part, ...], at: int, step: int) -> Part | None:
    """Return the part before or behind one, gaps aside."""
    at += step
    while 0 <= at < len(parts) and isinstance(parts[at], Gap):
        at += step
    return parts[at] if 0 <= at < len(parts) else None


def _tokens(event: Event, parts: tuple[Part, ...]) -> Iterator[Item]:
    taken = 0
    names = [argument.name for argument in event.arguments]
    for at, part in enumerate(parts):
        if isinstance(part, Conversion) and part.kind not in ("%", "m"):
            taken += part.stars + part.is_complete
        last = names[taken - 1] if 0 < taken <= len(names) else None
        if isinstance(part, Junk):
            if part.raw == '"':
                message = (
                    "a quotation mark has no partner; C takes the rest of the line, macros included, for text"
                )
            else:
                message = f"{part.raw!r} stands outside the quotation marks"
            yield Item("F1", "error", message, last)
        elif isinstance(part, Word):
            coming = names[taken] if taken < len(names) else None
            yield _word(part.raw, _solid(parts, at, -1), last, coming)
        elif isinstance(part, Text):
            yield from _text(part.raw)


def _word(word: str, before: Part | None, last: str | None, coming: str | None) -> Item:
    if not word.startswith("PRI"):
        return Item("F1", "error", f"the word {word!r} stands outside the quotation marks", coming)
    if not is_known_macro(word):
        near = difflib.get_close_matches(word, MACROS, n=1, cutoff=0.3)
        known = f"; the nearest is {near[0]}" if near else ""
        return Item("F2", "error", f"{word} is no macro of inttypes.h{known}", coming)
    if isinstance(before, Conversion) and not before.is_complete:
        return Item("F3", "error", f"{before} has a length already, {word} brings its own", coming)
    if isinstance(before, Conversion) and before.kind != "%":
        message = f"{before} is complete without {word}: C prints the macro's letters as text"
        return Item("F3", "error", message, last)
    return Item("F3", "error", f"no % in front of {word}: C prints the macro's letters as text", coming)


def _text(raw: str) -> Iterator[Item]:
    for match in ESCAPE.finditer(raw):
        if match["bad"] is not None:
            yield Item("F1", "error", f"tracetool does not know the escape {match[0]!r}")
        elif match[0] == r"\n":
            yield Item("F10", "error", "a new-line in the format; the backend adds the one at the end")


def _conversions(event: Event, parts: tuple[Part, ...]) -> Iterator[Item]:
    arguments = event.arguments
    taken = 0
    for at, part in enumerate(parts):
        if not isinstance(part, Conversion) or part.kind == "%":
            continue
        if part.kind and part.kind in "mn":
            rule = (
                "tracetool forbids it; pass errno as an argument"
                if part.kind == "m"
                else "it writes to memory"
            )
            yield Item("F10", "error", f"{part} in a trace format: {rule}")
            taken += part.kind == "n"
            continue
        for _ in range(part.stars):
            if taken < len(arguments):
                yield from _fit(Conversion(letter="d"), arguments[taken], f"the * of {part}")
            taken += 1
        following = parts[at + 1] if at + 1 < len(parts) else None
        if not part.is_complete:
            name = arguments[taken].name if taken < len(arguments) else None
            where = (
                "in front of " + repr(following.raw[:8])
                if isinstance(following, Text)
                else "at the end of a literal"
            )
            yield Item("F4", "error", f"{part} {where} is completed by no letter and no macro", name)
            continue
        if taken < len(arguments):
            yield from _fit(part, arguments[taken], str(part))
        taken += 1
        before = parts[at - 1] if at else None
        yield from _looks(part, before, following, arguments[taken - 1] if taken <= len(arguments) else None)
    if taken != len(arguments):
        first = arguments[taken].name if taken < len(arguments) else None
        more = f"{first!r} is the first that is not printed" if first else "the rest prints what is not there"
        yield Item("F5", "error", f"{taken} conversions for {len(arguments)} arguments: {more}", first)


def _fit(conversion: Conversion, argument: Argument, shown: str) -> Iterator[Item]:
    type_ = argument.type
    bad = [
        host for host in HOSTS
        if not fits(conversion.length, conversion.letter, conversion.macro, type_, host)
    ]  # fmt: skip
    declared = f"{argument.ctype} {argument.name}".replace("* ", "*")
    if bad:
        names = tuple(host.name for host in bad)
        if (
            type_.base == "int64"
            and not type_.stars
            and conversion.length in ("l", "ll")
            and not conversion.macro
        ):
            message = f"{shown} for {declared} is right only where int64_t is that type; use a PRI macro"
            yield Item("F7", "error", message, argument.name, names)
            return
        yield Item("F6", "error", f"{shown} for {declared}: {_consequence(conversion, argument, len(bad))}",
                   argument.name, names)  # fmt: skip
    elif conversion.kind in ("d", "i", "o", "u", "x", "X") and type_.bits >= 32:
        if type_.signed and conversion.kind not in "di":
            yield Item("F8", "note", f"{shown} for {declared}: negative values print as large", argument.name)
        elif not type_.signed and conversion.kind in "di":
            yield Item("F8", "note", f"{shown} for {declared}: large values print as negative", argument.name)


def _consequence(conversion: Conversion, argument: Argument, bad: int) -> str:
    """Say what printf does with the argument.

    By the calling conventions: a 64-bit host passes each in a slot of 64 bits and reads the low 32 of it,
    whatever its byte order; a 32-bit host passes a 64-bit value in two slots, upper half first if it is
    big-endian.
    """
    type_ = argument.type
    if conversion.kind == "s":
        return "the value is taken for the address of a string"
    if type_.is_pointer:
        return "an address is printed as a number of another width"
    if conversion.kind == "p":
        return "a number is printed as an address"
    if conversion.kind not in "diouxXc" or conversion.length == "L":
        return "no type of trace-events fits it"
    if bad < len(HOSTS):
        return "right by luck on the other hosts, another type on these"
    narrow = conversion.length in ("", "h", "hh") and type_.bits == 64
    if narrow and type_.base == "int64":
        return (
            "64-bit hosts print the low 32 bits; 32-bit hosts print one half, the upper one where "
            "big-endian, and every conversion behind it reads the wrong argument"
        )
    if narrow:
        return "only the low 32 bits are printed"
    return "it reads more bits than the argument has"


def _looks(
    conversion: Conversion, before: Part | None, following: Part | None, argument: Argument | None
) -> Iterator[Item]:
    name = argument.name if argument else None
    after_0x = isinstance(before, Text) and re.search("0[xX]$", before.raw) is not None
    if "#" in conversion.flags:
        yield Item("F10", "warning", f"{conversion}: write 0x%, not %#", name)
    if is_slipped_width(conversion, following) and isinstance(following, Text):
        digits = re.match(r"\d+", following.raw)
        width = digits[0] if digits else ""
        meant = f"%0{width}{conversion.kind}"
        message = f"%0{conversion.kind}{width} prints the number and then {width!r}; {meant} is meant"
        yield Item("F9", "warning", message, name)
    elif conversion.kind in "xX" and not after_0x and "#" not in conversion.flags:
        if not ("0" in conversion.flags and conversion.width):
            yield Item("F11", "note", f"{conversion} prints hexadecimal without 0x in front", name)
    elif conversion.kind in "diu" and after_0x:
        yield Item("F11", "warning", f"0x in front of {conversion}, which prints decimal", name)
