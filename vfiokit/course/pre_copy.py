"""Chapter 4: what converges, what does not, and the threshold."""

from __future__ import annotations

from vfiokit.course.exercises import Verdict, exercise, right, wrong
from vfiokit.course.runs import MIB, as_number, finished
from vfiokit.recording import Recording
from vfiokit.view.theme import people_bytes
from vfiokit.vmm.outgoing import Parameters

__all__ = ()

_SIZE, _BANDWIDTH, _LIMIT_MS = 64, 100, 300  # MiB, MiB/s, ms: those of the notebook


def _run(dirty: float, *, bandwidth: float = _BANDWIDTH, limit_ms: float = _LIMIT_MS) -> Recording:
    """Return the recording of a device with the chapter's figures; *dirty* is MiB/s."""
    limits = Parameters(
        downtime_limit_ns=int(limit_ms * 1e6), bandwidth=int(bandwidth * MIB), precopy_limit_ns=2 * 10**9
    )
    return finished(
        f"emulated:v5?state={_SIZE}M&dirty={int(dirty * MIB)}&name=here", memory=0, parameters=limits
    )


def _converges(recording: Recording) -> bool:
    return any(row.machine == "vm" and row.state == "finish-migrate" for row in recording.states)


@exercise("04.1", "the threshold is what can be sent within the downtime limit, in bytes")
def threshold(answer: object) -> Verdict:
    """Compare with the threshold of a run at 200 MiB/s and 100 ms, to 5 %."""
    last = _run(20, bandwidth=200, limit_ms=100).samples[-1].threshold
    number = as_number(answer)
    if number is None:
        return wrong("a number of bytes is wanted")
    if abs(number * MIB - last) < 0.05 * last:
        return wrong("that many MiB; bytes are wanted")
    if abs(number - last) > 0.05 * last:
        return wrong(f"{people_bytes(number)} it is not; what can be sent in 100 ms at that bandwidth?")
    return right(
        f"the run had {people_bytes(last)}: QEMU goes by the bandwidth it measured, not by what it may use."
    )


@exercise("04.2", "pending settles at a number of bytes; how long does the link take for them?")
def least_downtime_limit(answer: object) -> Verdict:
    """Run with the limit that was given, and with one a quarter lower."""
    number = as_number(answer)
    if number is None or not 0 < number < 100_000:
        return wrong("a number of milliseconds is wanted")
    if not _converges(_run(300, limit_ms=number)):
        return wrong(f"tried: with {number:g} ms it does not converge")
    if _converges(_run(300, limit_ms=number / 1.25)):
        return wrong(f"tried: with {number:g} ms it converges, but so it does with {number / 1.25:.0f} ms")
    return right(f"with {number:g} ms it converges, with {number / 1.25:.0f} ms it does not.")


@exercise("04.3", "where does pending settle at a dirty rate d, and when is that below the threshold?")
def most_dirty_rate(answer: object) -> Verdict:
    """Run with rates a tenth lower and a tenth higher: the rule leaves heads and register accesses out."""
    number = as_number(answer)
    if number is None or not 0 < number < 10_000:
        return wrong("a number of MiB/s is wanted")
    low, high = round(number * 0.9), round(number * 1.1)
    if not _converges(_run(low)):
        return wrong(f"tried: even at {low} MiB/s it does not converge")
    if _converges(_run(high)):
        return wrong(f"tried: at {high} MiB/s it still converges")
    return right(f"tried: at {low} MiB/s it converges, at {high} it does not.")
