"""Arguments of a trace event as columns: numbers as 64-bit patterns, strings aside, a signature for both.

The signature has one letter an argument: ``Q`` a number, ``q`` a negative one, ``s`` a string, ``n`` a
NULL string. With it the arguments come back as they were, without the event's declaration.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from vfiokit.errors import RecordingError

__all__ = ("join", "split")

_WORD = (1 << 64) - 1


def split(args: Sequence[Any]) -> tuple[str, list[int], list[str | None]]:
    """Return signature, numbers and strings of *args*; what is neither is kept as text."""
    signature = ""
    numbers: list[int] = []
    texts: list[str | None] = []
    for arg in args:
        if hasattr(arg, "__index__"):
            signature += "q" if arg < 0 else "Q"
            numbers.append(int(arg) & _WORD)
        elif arg is None:
            signature += "n"
        else:
            signature += "s"
            texts.append(str.__str__(arg) if isinstance(arg, str) else str(arg))
    return signature, numbers, texts


def join(signature: str, numbers: Sequence[int], texts: Sequence[str | None]) -> tuple[int | str | None, ...]:
    """Return the arguments that `split` took apart; RecordingError when the three do not go together."""
    args: list[int | str | None] = []
    left, strings = iter(numbers), iter(texts)
    try:
        for letter in signature:
            match letter:
                case "Q":
                    args.append(next(left))
                case "q":
                    args.append(next(left) - (1 << 64))
                case "s":
                    args.append(next(strings))
                case "n":
                    args.append(None)
                case _:
                    raise RecordingError(f"a trace event's signature {signature!r} has the letter {letter!r}")
    except StopIteration:
        raise RecordingError(
            f"a trace event's signature {signature!r} does not go with {len(numbers)} numbers, "
            f"{len(texts)} strings"
        ) from None
    return tuple(args)
