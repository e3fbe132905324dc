"""The moments that a report keeps: at each, what the pictures show, as changes of their models.

Nothing here knows a picture. Each is asked to show a moment (`Picture.update`), the document tells which
properties of its models changed, and their values are kept, every one once. A moment then is, for each
property that ever changes, the number of its value: so the page goes forwards and backwards alike, by
Bokeh's own patches. Columns of a data source are kept one by one, as most of them stay.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from bokeh.core.serialization import Serializer
from bokeh.core.types import ID
from bokeh.document import Document
from bokeh.model import Model
from bokeh.models import ColumnDataSource

from vfiokit.reports.blocks import block, json_block
from vfiokit.view.link import MOMENT
from vfiokit.view.moments import time_of
from vfiokit.view.theme import plain

if TYPE_CHECKING:
    from vfiokit.recording import Recording
    from vfiokit.view import Picture

__all__ = ("MOST", "bake", "key_moments")

MOST = 200
_CHUNK = 1 << 18  # letters of values in a block: what is unpacked at once

_Key = tuple[ID, str]  # a model's id and a property's name


def key_moments(recording: Recording, most: int = MOST) -> list[int]:
    """Return the numbers of the accesses (``seq``) that are moments, rising, at most *most*.

    The first and the last, every change of a state and every error; then turns of the loop and syncs;
    then accesses between, evenly. All accesses when there are few.
    """
    end = recording.seq
    if end < 0:
        return []
    if end < most:
        return list(range(end + 1))
    errors = recording.accesses.column("seq")[recording.accesses.valid("error")]
    chosen = _thinned([0, end, *recording.states.column("seq"), *errors], most)
    bitmaps = recording.bitmaps.column("seq")[recording.bitmaps.column("kind") == "sync"]
    # So that turns leave room for what is between them in a long stretch without any.
    chosen |= _thinned({*recording.samples.column("seq"), *bitmaps} - chosen, (most - len(chosen)) * 3 // 4)
    return sorted(chosen | _thinned(set(range(0, end, max(1, end // most))) - chosen, most - len(chosen)))


def _thinned(numbers: Iterable[int], most: int) -> set[int]:
    found = np.unique(np.fromiter((int(number) for number in numbers), np.int64))
    if len(found) <= most:
        return set(found.tolist())
    return set(found[np.linspace(0, len(found) - 1, max(0, most)).astype(int)].tolist())


def bake(recording: Recording, document: Document, pictures: Sequence[Picture], moments: list[int]) -> str:
    """Return the blocks of the moments; afterwards the pictures show all there is, as before.

    :param document: the one that has the pictures; its models are those of the page
    """
    kept = _Values(document)
    frames = []
    for seq in moments:
        for picture in pictures:
            picture.update(at=seq)
        frames.append(kept.frame())
    for picture in pictures:
        picture.update()
    kept.stop()
    about = {
        "seq": moments,
        "x": [time_of(recording, seq) for seq in moments],
        "words": _words(recording, moments),
        "keys": kept.keys,
        "frames": kept.full(frames),
        "values": kept.places,
    }
    chunks = "".join(block(f"vfiokit-values-{k}", data) for k, data in enumerate(kept.chunks()))
    return json_block("vfiokit-moments", about) + chunks


class _Values:
    """Values of the properties that change, every one once."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self.models = {model.id: model for model in document.models if model.name != MOMENT}
        self._all = set(document.models)
        self._serializer = Serializer(references=self._all, deferred=False)
        # References to what there is now: an assignment leaves the old value as it was.
        self._first = {
            (model.id, name): given
            for model in self._all
            for name, given in model.properties_with_values(include_defaults=False).items()
        }
        self.keys: list[_Key] = []
        self._numbers: dict[_Key, int] = {}
        self._now: dict[int, Any] = {}  # of each key, the value it has
        self._begins: dict[int, Any] = {}  # of each key, what it had before it first changed
        self._changed: dict[_Key, None] = {}
        self._nested: set[_Key] = set()  # those with models of their own, which change unseen
        self.places: list[tuple[int, int]] = []  # of each value, its chunk and its place there
        self._known: dict[str, int] = {}
        self._texts: list[list[str]] = [[]]
        self._room = _CHUNK
        document.on_change(self._on_change)

    def _on_change(self, event: Any) -> None:
        model, name = getattr(event, "model", None), getattr(event, "attr", None)
        if model is not None and name is not None and model.id in self.models:
            self._changed[(model.id, name)] = None

    def stop(self) -> None:
        self.document.remove_on_change(self._on_change)

    def frame(self) -> dict[int, Any]:
        """Return the value of each key that has changed so far."""
        for key in [*self._changed, *self._nested]:
            if key not in self._numbers:
                self._numbers[key] = len(self.keys)
                self.keys.append(key)
                self._begins[self._numbers[key]] = self._before(key)
            self._now[self._numbers[key]] = self._encoded(key, getattr(self.models[key[0]], key[1]))
        self._changed.clear()
        return dict(self._now)

    def _before(self, key: _Key) -> Any:
        model = self.models[key[0]]
        given = self._first.get(key, model.lookup(key[1]).property.themed_default(type(model), key[1], None))
        return self._encoded(key, given)

    def _encoded(self, key: _Key, given: Any) -> Any:
        """Return the number of a value, or of a data source the names and numbers of its columns."""
        if key[1] == "data" and isinstance(self.models[key[0]], ColumnDataSource):
            return [[name, self._number(key, values)] for name, values in given.items()]
        return self._number(key, given)

    def _number(self, key: _Key, given: Any) -> int:
        serializer = self._serializer
        if isinstance(given, Model):
            # One that gives way to another leaves the page's document: it is kept whole, not by its id.
            self._nested.add(key)
            serializer = Serializer(references=self._all - {given}, deferred=False)
        text = json.dumps(serializer.encode(given), separators=(",", ":"))
        if text not in self._known:
            if self._room < len(text) and self._texts[-1]:
                self._texts.append([])
                self._room = _CHUNK
            self._known[text] = len(self.places)
            self.places.append((len(self._texts) - 1, len(self._texts[-1])))
            self._texts[-1].append(text)
            self._room -= len(text)
        return self._known[text]

    def full(self, frames: list[dict[int, Any]]) -> list[list[Any]]:
        """Return every moment with a value for every key, and last what the page begins with."""
        whole = [[frame.get(k, self._begins[k]) for k in range(len(self.keys))] for frame in frames]
        return [*whole, [self._begins[k] for k in range(len(self.keys))]]

    def chunks(self) -> Iterable[bytes]:
        """Return the values, chunk by chunk, as JSON."""
        return (f"[{','.join(texts)}]".encode() for texts in self._texts)


def _words(recording: Recording, moments: list[int]) -> list[str]:
    """Return what the source's states were at each moment, and the turn of the loop."""
    rows = list(recording.states)
    side = "source" if any(row.side == "source" for row in rows) else "destination"
    states = [row for row in rows if row.side == side]
    samples = list(recording.samples.rows(columns=("seq", "side", "turn")))
    turns = [row for row in samples if row.side == side]
    at_state = np.searchsorted([row.seq for row in states], moments, side="right")
    at_turn = np.searchsorted([row.seq for row in turns], moments, side="right")
    told = []
    for states_passed, turns_passed in zip(at_state, at_turn, strict=True):
        now = {row.machine: row.state for row in states[:states_passed]}
        parts = [f"{plain(machine)} {plain(state)}" for machine, state in now.items()]
        if turns_passed:
            parts.append(f"turn {turns[turns_passed - 1].turn}")
        told.append(" · ".join(parts))
    return told
