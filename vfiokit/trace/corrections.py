"""The smallest correction of a trace format, worked out from its parts and its arguments.

Nothing is looked up: each conversion that does not fit its argument is written anew for the argument's type,
macros get the ``%`` or the digits that they lack, quotation marks without a partner go. All else, white space
included, stays as it is.
"""

from __future__ import annotations

import re
from dataclasses import replace

from vfiokit.trace.conversions import Conversion, Gap, Junk, Part, Text, Word, put_together, take_apart
from vfiokit.trace.grammar import Argument, Event
from vfiokit.trace.hosts import HOSTS, CType, fits, is_known_macro

__all__ = ("conversion_for", "correct", "fits_everywhere", "is_slipped_width")

_MACRO_IN_TEXT = re.compile(r"PRI[diouxX](?:LEAST|FAST)?(?:8|16|32|64|PTR|MAX)(?!\w)")


class _CannotCorrectError(Exception):
    """The format does not tell what its author meant. Stays in this module."""


def fits_everywhere(conversion: Conversion, type_: CType) -> bool:
    """Does the conversion take an argument of this type on each of :data:`vfiokit.trace.hosts.HOSTS`."""
    return all(fits(conversion.length, conversion.letter, conversion.macro, type_, host) for host in HOSTS)


def conversion_for(type_: CType, conversion: Conversion) -> Conversion:
    """Return *conversion* made to fit the type on every host; it keeps letter, flags and width if it can."""
    if type_.is_text:
        return Conversion(conversion.flags.replace("0", ""), conversion.width, letter="s")
    if type_.is_pointer:
        return Conversion(letter="p")
    kind = (
        conversion.kind if conversion.kind and conversion.kind in "diouxX" else ("d" if type_.signed else "u")
    )
    bare = Conversion(conversion.flags, conversion.width, conversion.precision)
    if type_.base == "int64":
        return replace(bare, macro=f"PRI{kind}64", blank=conversion.blank)
    if type_.base == "ptr" and not type_.signed:
        return replace(bare, macro=f"PRI{kind}PTR", blank=conversion.blank)
    length = {"size": "z", "ptr": "t", "long": "l", "llong": "ll"}.get(type_.base, "")
    return replace(bare, length=length, letter=kind)


def is_slipped_width(conversion: Conversion, following: Part | None) -> bool:
    """Is it ``%0x8``, where ``%08x`` was meant: a 0 flag without width, and a digit behind the letter."""
    return (
        "0" in conversion.flags
        and not conversion.width
        and conversion.kind != "%"
        and conversion.is_complete
        and isinstance(following, Text)
        and following.raw[:1].isdigit()
    )


def correct(event: Event) -> str | None:
    """Return the C source of the corrected format, or None if it cannot be told what was meant.

    The result can be the format itself: then there is nothing to correct.
    """
    try:
        return put_together(_Corrector(event).run())
    except _CannotCorrectError:
        return None


class _Corrector:
    """One walk over the parts, with the next argument in hand."""

    def __init__(self, event: Event) -> None:
        self.parts = list(take_apart(event.format))
        self.arguments = list(event.arguments)
        self.next = 0
        self.out: list[Part] = []

    def run(self) -> list[Part]:
        parts = self.parts
        while parts:
            part = parts.pop(0)
            if isinstance(part, Conversion):
                self._conversion(part)
            elif isinstance(part, Word):
                self._word(part.raw)
            elif isinstance(part, Text):
                self._text(part.raw)
            elif isinstance(part, Gap):
                self.out.append(part)
        if self.next != len(self.arguments):
            raise _CannotCorrectError
        return self.out

    def _take(self) -> Argument:
        if self.next >= len(self.arguments):
            raise _CannotCorrectError
        self.next += 1
        return self.arguments[self.next - 1]

    def _text(self, raw: str) -> None:
        if raw.endswith("\\n") and not any(isinstance(part, (Text, Conversion)) for part in self.parts):
            raw = raw.removesuffix("\\n")
        if re.search(r"(?<!\\)(?:\\\\)*\\n", raw):
            raise _CannotCorrectError
        if self.out and isinstance(self.out[-1], Text):
            raw = self.out.pop().raw + raw  # type: ignore[union-attr]
        self.out.append(Text(raw))

    def _after_0x(self) -> bool:
        return bool(self.out) and isinstance(self.out[-1], Text) and self.out[-1].raw.lower().endswith("0x")

    def _conversion(self, found: Conversion) -> None:
        if found.kind == "%":
            self.out.append(found)
            return
        if found.kind and found.kind in "mn":
            raise _CannotCorrectError
        for _ in range(found.stars):
            if not fits_everywhere(Conversion(letter="d"), self._take().type):
                raise _CannotCorrectError
        if not found.is_complete:
            found = self._complete(found)
        if "#" in found.flags and found.kind in "xX":
            if not self._after_0x():
                self._text("0x")
            found = replace(found, flags=found.flags.replace("#", ""))
        if found.kind in "diu" and self._after_0x():
            macro = f"PRIx{found.macro[4:]}" if found.macro else None
            found = replace(found, letter="" if macro else "x", macro=macro)
        following = self.parts[0] if self.parts else None
        if is_slipped_width(found, following) and isinstance(following, Text):
            digits = re.match(r"\d+", following.raw)
            width = digits[0] if digits else ""
            found = replace(found, width=width)
            behind = following.raw[len(width) :]
            self.parts[:1] = [Text(behind)] if behind else []
        type_ = self._take().type
        self.out.append(found if fits_everywhere(found, type_) else conversion_for(type_, found))

    def _complete(self, found: Conversion) -> Conversion:
        """Give a conversion without letter what stands behind it, or what its argument needs."""
        rest = [part for part in self.parts if not isinstance(part, (Gap, Junk))]
        hint = "x" if self._after_0x() else ""
        if rest and isinstance(rest[0], Word) and rest[0].raw.startswith("PRI"):
            word = rest[0].raw
            self.parts.remove(rest[0])
            if word[3:4] and word[3] in "diouxX":
                hint = word[3]
        elif self.parts and isinstance(self.parts[0], Text):
            inside = _MACRO_IN_TEXT.match(self.parts[0].raw)
            if inside is None:
                raise _CannotCorrectError
            behind = self.parts[0].raw[inside.end() :]
            self.parts[:1] = [Text(behind)] if behind else []
            return replace(found, length="", macro=inside[0])
        if self.next >= len(self.arguments):
            raise _CannotCorrectError
        return conversion_for(self.arguments[self.next].type, replace(found, letter=hint))

    def _word(self, word: str) -> None:
        if not is_known_macro(word):
            raise _CannotCorrectError
        last = self.out[-1] if self.out else None
        if isinstance(last, Conversion) and last.kind in "diouxX":
            # A letter before the macro: the macro was meant, if the argument is one for it.
            meant = Conversion(last.flags, last.width, last.precision, macro=word)
            type_ = self.arguments[self.next - 1].type
            self.out[-1] = meant if fits_everywhere(meant, type_) else conversion_for(type_, meant)
        else:
            self._conversion(Conversion(macro=word))
