"""What a recording itself shows: how the migration ended, what was refused, what broke a rule."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from vfiokit.view.convergence import downtime, estimate, phases
from vfiokit.view.picture import last_ns, texts
from vfiokit.view.theme import exact_bytes, exact_ns, people_ns

if TYPE_CHECKING:
    from vfiokit.recording import Recording

__all__ = ("Verdict", "outcome", "verdicts")

_ENDS = ("completed", "failed", "cancelled")
_MOST = 50  # kinds of refused access that are told one by one
_RECENT = 512  # samples that the estimate looks at


@dataclass(frozen=True, slots=True)
class Verdict:
    """One thing that the recording shows.

    :param kind: "good", "bad", or "unknown": the recording does not tell, or tells of a doubt
    :param text: what it is, in one sentence
    :param seq: number of the access that shows it; None if no single one does
    :param rule: the rule that says otherwise, with its source
    :param hint: what to try
    """

    kind: Literal["good", "bad", "unknown"]
    text: str
    seq: int | None = None
    rule: str | None = None
    hint: str | None = None


def verdicts(recording: Recording) -> list[Verdict]:
    """Return what the recording shows, the outcome first.

    Each source of verdicts is a function from a recording; `check/` adds its rules here.
    """
    found: list[Verdict] = []
    for source in (_outcome, _failures, _convergence, _downtime, _stream, _refused, _messages):
        found += source(recording)
    return found


def outcome(recording: Recording) -> tuple[str, int | None]:
    """Return how the source's migration ended, and the access that shows it.

    "completed", "failed", "cancelled"; "unfinished" when it did not end, "none" when it did not begin.
    """
    rows = [row for row in recording.states if row.machine == "migration"]
    mine = [row for row in rows if row.side == "source"] or rows
    if not mine:
        return "none", None
    last = mine[-1]
    return (last.state, int(last.seq)) if last.state in _ENDS else ("unfinished", int(last.seq))


def _outcome(recording: Recording) -> Iterator[Verdict]:
    ended, seq = outcome(recording)
    match ended:
        case "completed":
            yield Verdict("good", "The migration completed.", seq)
        case "failed":
            yield Verdict("bad", "The migration failed; the source runs on.", seq)
        case "cancelled":
            yield Verdict("unknown", "The migration was cancelled; the source runs on.", seq)
        case "unfinished":
            yield Verdict("unknown", "The recording ends before the migration does.", seq)
        case _ if "imported" in recording.metadata:
            yield Verdict("unknown", "A log of trace events does not tell how the migration ended.")
        case _:
            yield Verdict("unknown", "No migration is recorded.")


def _failures(recording: Recording) -> Iterator[Verdict]:
    """What ended a flow, once, but for what is told of the access that was refused."""
    told = {message for message in texts(recording.accesses, "message") if message is not None}
    for row in recording.failures.rows(0, _MOST):
        if row.message not in told and row.error != "MigrationCancelledError":
            told.add(row.message)
            text = f"{row.side}: {row.message}" if row.side is not None else row.message
            yield Verdict("bad", text, int(row.seq), row.rule, row.hint)


def _convergence(recording: Recording) -> Iterator[Verdict]:
    found = phases(recording.states, "source", last_ns(recording))
    samples = recording.samples.rows(max(0, len(recording.samples) - _RECENT))
    mine = [row for row in samples if row.side == "source"]
    if any(phase.name == "stop-and-copy" for phase in found):
        took = sum(phase.end - phase.start for phase in found if phase.name == "pre-copy")
        yield Verdict("good", f"Pre-copy converged: the VM was stopped after {people_ns(took)}.")
    elif mine:
        told = estimate(mine)
        if told.verdict != "never" and outcome(recording)[0] in ("failed", "cancelled"):
            return  # it would have converged, and ended for another reason
        kind: Literal["bad", "unknown"] = "bad" if told.verdict == "never" else "unknown"
        yield Verdict(kind, f"Pre-copy did not end. {told}", int(mine[-1].seq))


def _downtime(recording: Recording) -> Iterator[Verdict]:
    down = downtime(recording.states)
    if down is None or down.side != "destination":
        return
    took = down.end - down.start
    told = recording.metadata.get("downtime_limit_ns", "")
    if not told.isdecimal():
        yield Verdict("unknown", f"Downtime {people_ns(took)}; the recording names no limit.")
    elif took <= int(told):
        yield Verdict("good", f"Downtime {people_ns(took)}, within the limit of {people_ns(int(told))}.")
    else:
        yield Verdict(
            "bad",
            f"Downtime {exact_ns(took)}, over the limit of {people_ns(int(told))}.",
            hint="the limit is held against an estimate: is pending_bytes right, is the link steady?",
        )


def _stream(recording: Recording) -> Iterator[Verdict]:
    """What one end put into the stream, the other took: told when both were recorded to the end."""
    moved = {"Put": 0, "Take": 0}
    rows = recording.accesses
    kinds, well = texts(rows, "kind"), ~rows.valid("error")
    sizes = rows.column("size")
    for kind in moved:
        moved[kind] = int(sizes[(kinds == kind) & well].sum()) if len(rows) else 0
    if not all(moved.values()) or outcome(recording)[0] != "completed":
        return
    if moved["Put"] == moved["Take"]:
        yield Verdict("good", f"The destination took all that the source sent: {exact_bytes(moved['Put'])}.")
    else:
        yield Verdict(
            "bad", f"The source sent {moved['Put']:,} bytes, the destination took {moved['Take']:,}."
        )


def _refused(recording: Recording) -> Iterator[Verdict]:
    rows = recording.accesses
    places = np.flatnonzero(rows.valid("error")) if len(rows) else ()
    kinds: dict[tuple[Any, ...], list[int]] = {}
    table = rows.to_arrow()
    for place in places:
        row = table.slice(int(place), 1).to_pylist()[0]
        kind = tuple(row[name] for name in ("side", "kind", "error", "message", "rule", "hint"))
        kinds.setdefault(kind, []).append(int(row["seq"]))
    for (side, kind, error, message, rule, hint), seqs in list(kinds.items())[:_MOST]:
        if error == "MigrationCancelledError":
            continue  # how a cancel is recorded; the outcome tells of it
        times = "" if len(seqs) == 1 else f" ({len(seqs):,} times, first here)"
        yield Verdict("bad", f"{side}, {kind}: {error}: {message}{times}", seqs[0], rule, hint)
    if len(kinds) > _MOST:
        yield Verdict("bad", f"… and {len(kinds) - _MOST:,} more kinds of refused access.")
    if len(rows) and not kinds:
        yield Verdict("good", f"None of {len(rows):,} accesses was refused.")


def _messages(recording: Recording) -> Iterator[Verdict]:
    for row in recording.messages.rows(0, _MOST):
        yield Verdict("unknown", f"{row.side}, {row.device} says: {row.text}", int(row.seq))
    if len(recording.messages) > _MOST:
        yield Verdict("unknown", f"… and {len(recording.messages) - _MOST:,} more messages.")
