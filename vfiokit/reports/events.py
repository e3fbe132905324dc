"""Trace events of a recording, packed for the page, which formats those that are looked at.

Events of one name and one signature are a *template*: the format's parts, and a column an argument. The page
makes of them the text that `vfiokit.trace.Record.text` makes. An event that is not declared, or whose
arguments do not go with its format, has its arguments listed instead.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from vfiokit.errors import RecordingError, TraceError
from vfiokit.reports.blocks import Columns, block, json_block
from vfiokit.trace import EventSet, load
from vfiokit.trace.conversions import Conversion, Text, decode, take_apart
from vfiokit.trace.formats import bits_of, compile_format
from vfiokit.view.picture import origin_ns

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

    from vfiokit.recording import Recording

__all__ = ("event_blocks", "template_parts")

_LETTERS = set("Qqsn")


def event_blocks(recording: Recording, events: EventSet | None = None) -> str:
    """Return the blocks ``vfiokit-events`` (what the columns are) and ``vfiokit-event-data``.

    :param events: the declarations; the v5 events if not given
    :raises RecordingError: a row's signature does not go with its arguments
    """
    rows = recording.events.to_arrow()
    columns, declared = Columns(), events if events is not None else load("v5")
    strings = _Strings()
    names, name_words = _codes(rows["name"])
    signatures, signature_words = _codes(rows["signature"])
    sides, side_words = _codes(rows["side"])
    threads, thread_codes = np.unique(rows["thread"].to_numpy(), return_inverse=True)
    pairs, codes = np.unique(names * max(1, len(signature_words)) + signatures, return_inverse=True)
    arguments = _Arguments(rows)
    templates = []
    for code, pair in enumerate(pairs.tolist()):
        name, signature = (
            words[number]
            for words, number in zip(
                (name_words, signature_words), divmod(pair, len(signature_words)), strict=True
            )
        )
        found = np.flatnonzero(codes == code)
        templates.append(
            {
                "name": name,
                "signature": signature,
                "parts": template_parts(declared, name, signature),
                "columns": arguments.columns(signature, found, columns, strings),
            }
        )
    times = rows["time_ns"].to_numpy() - origin_ns(recording)
    about = {
        "count": rows.num_rows,
        "seq": columns.add(rows["seq"].to_numpy()),
        "time": columns.add(times),
        "thread": columns.add(thread_codes, differences=False),
        "threads": [str(thread) for thread in threads.tolist()],
        "side": columns.add(sides, differences=False),
        "sides": side_words,
        "template": columns.add(codes, differences=False),
        "templates": templates,
        "devices": _devices(recording),
        "strings": strings.known,
        "heads": columns.heads,
    }
    return json_block("vfiokit-events", about) + block("vfiokit-event-data", columns.data())


def template_parts(declared: EventSet, name: str, signature: str) -> list[Any]:
    """Return literals and conversions, in order, of an event whose arguments have this signature.

    A conversion is a dict: a (number of the argument), k (its letter), f, w, p (flags, width, precision)
    and b (bits that it prints).
    """
    try:
        event = declared.event(name)
        compile_format(event)  # what cannot be printed is told here
    except TraceError:
        return _listed(signature)
    parts: list[Any] = []
    taken = 0
    for part in take_apart(event.format):
        if isinstance(part, Text):
            parts.append(decode(part.raw))
        elif isinstance(part, Conversion) and part.kind == "%":
            parts.append("%")
        elif isinstance(part, Conversion):
            if taken >= len(signature) or (part.kind == "s") != (signature[taken] in "sn"):
                return _listed(signature)
            given = {"f": part.flags.replace("'", ""), "w": part.width, "p": part.precision}
            parts.append({"a": taken, "k": part.kind, "b": bits_of(part), **given})
            taken += 1
    return parts


def _listed(signature: str) -> list[Any]:
    parts: list[Any] = []
    for number, letter in enumerate(signature):
        kind = {"k": "s", "f": ""} if letter in "sn" else {"k": "x", "f": "#"}
        parts += [" " if number == 0 else ", ", {"a": number, "b": 64, "w": "", "p": "", **kind}]
    return parts


class _Strings:
    """Strings by number."""

    def __init__(self) -> None:
        self.known: list[str | None] = []
        self._numbers: dict[str | None, int] = {}

    def number(self, text: str | None) -> int:
        if text not in self._numbers:
            self._numbers[text] = len(self.known)
            self.known.append(text)
        return self._numbers[text]


class _Arguments:
    """Columns ``args`` and ``texts``: flat, and where each row's begin."""

    def __init__(self, rows: pa.Table) -> None:
        self._numbers, self._first_number, self._number_counts = _flat(rows["args"])
        texts, self._first_text, self._text_counts = _flat(rows["texts"])
        encoded = texts.dictionary_encode()
        self._texts = encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False)
        self._words = encoded.dictionary.to_pylist()

    def columns(
        self, signature: str, found: NDArray[np.intp], columns: Columns, strings: _Strings
    ) -> list[int]:
        """Pack the arguments of the rows *found*, a column each; -1 for NULL strings.

        :raises RecordingError: the signature does not go with them
        """
        numbers = sum(letter in "Qq" for letter in signature)
        texts = signature.count("s")
        given = self._number_counts[found], self._text_counts[found]
        wrong = set(signature) - _LETTERS or (given[0] < numbers).any() or (given[1] < texts).any()
        if wrong:
            raise RecordingError(f"a trace event's signature {signature!r} does not go with its arguments")
        kept = []
        number = text = 0
        values = self._numbers.to_numpy(zero_copy_only=False)
        for letter in signature:
            if letter in "Qq":
                kept.append(columns.add(values[self._first_number[found] + number]))
                number += 1
            elif letter == "s":
                codes = self._texts[self._first_text[found] + text]
                table = {code: strings.number(None if code < 0 else self._words[code]) for code in set(codes)}
                kept.append(columns.add(np.array([table[code] for code in codes]), differences=False))
                text += 1
            else:
                kept.append(-1)
        return kept


def _flat(column: pa.ChunkedArray) -> tuple[Any, NDArray[np.int64], NDArray[np.int64]]:
    """Return a list column's values, and of each row where they begin and how many they are."""
    lists = _whole(column)
    counts = lists.value_lengths().fill_null(0).to_numpy(zero_copy_only=False).astype(np.int64)
    return lists.flatten(), np.cumsum(counts) - counts, counts


def _codes(column: pa.ChunkedArray) -> tuple[NDArray[np.int64], list[str]]:
    encoded = _whole(column.cast("string")).dictionary_encode()
    return encoded.indices.to_numpy(zero_copy_only=False).astype(np.int64), encoded.dictionary.to_pylist()


def _whole(column: pa.ChunkedArray) -> pa.Array:
    """Return a column as one array; pyarrow gives one or a chunked one, by its release and the size."""
    import pyarrow as pa

    joined = column.combine_chunks()
    return pa.concat_arrays(joined.chunks) if isinstance(joined, pa.ChunkedArray) else joined


def _devices(recording: Recording) -> list[str]:
    """Return the devices that the recording names, in order."""
    found = _codes(recording.accesses.to_arrow()["device"].drop_null())[1]
    found += _codes(recording.states.to_arrow()["machine"])[1]
    return [name for name in dict.fromkeys(found) if name not in ("vm", "migration")]
