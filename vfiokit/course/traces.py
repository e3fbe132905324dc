"""Chapter 7: a trace read, and the planted bug named."""

from __future__ import annotations

from functools import cache

from vfiokit.addresses import open_device
from vfiokit.course.exercises import Verdict, exercise, right, wrong
from vfiokit.course.planted import open_planted
from vfiokit.course.runs import MIB, as_number
from vfiokit.debugger import debug
from vfiokit.recording import Recording
from vfiokit.trace import Record
from vfiokit.uapi.migration_v5 import REGISTERS

__all__ = ()

_SOURCE = "emulated:v5?state=1M&chunk=64K&bitmap=64K&dirty=20M/s&dma=0&name=here"
_THERE = "emulated:v5?state=1M&chunk=64K&name=there"


@cache
def _recording() -> Recording:
    with open_planted(_SOURCE) as here, open_device(_THERE, clock=here.clock) as there:
        session = debug(here, there, memory=MIB)
        session.finish()
        session.close()
        found: Recording = session.recording
        return found


def _chunks() -> list[Record]:
    found = [record for record in _recording().records(side="source") if record.name == "vfio_save_buffer"]
    return [record for record in found if record["data_size"]]


@exercise("07.1", "vfio_save_buffer with a size; those with 0 are no chunks")
def chunks(answer: object) -> Verdict:
    """Compare with the chunks that the log has."""
    number, count = as_number(answer), len(_chunks())
    if number != count:
        return wrong("every vfio_save_buffer of the source whose size is not 0 is one")
    return right(f"{count} chunks left the source.")


@exercise("07.2", "the events of 7.1 have it; compare them with each other")
def odd_place(answer: object) -> Verdict:
    """Compare with the data_offset that one chunk alone has."""
    places = [record["data_offset"] for record in _chunks()]
    odd = next(place for place in places if places.count(place) == 1)
    number = as_number(answer)
    if number == odd:
        return right(
            f"{odd:#x}, once; the others are at {places[0]:#x}. That chunk is not what it says it is."
        )
    if number == places[0]:
        return wrong("that is where all the others are")
    return wrong("a data_offset of vfio_save_buffer is wanted, such as 0x1000")


@exercise("07.3", "what the source read before the wrong data_offset; one of them asks for something else")
def turned_by(answer: object) -> Verdict:
    """The register whose read turned data_offset away from device data."""
    if answer == "copied_pfns":
        return right(
            "the snapshot turned data_offset to the bitmap; it found nothing dirty, so nobody fetched it."
        )
    if answer == "pending_bytes":
        return wrong("pending_bytes is of device data, so is data_offset after it; what was asked before?")
    return _no_register(answer) or wrong(
        "it was not this one; what did the VMM want to know about the guest?"
    )


@exercise("07.4", "device model and v5 spec 1.6: data_offset has two meanings; what selects between them?")
def should_turn_back(answer: object) -> Verdict:
    """The register whose read should turn data_offset back to device data."""
    if answer == "pending_bytes":
        return right("named: in this driver a read of pending_bytes does not turn data_offset back.")
    if answer == "copied_pfns":
        return wrong("that one turns it to the bitmap; which register is only about device data?")
    return _no_register(answer) or wrong("the VMM reads it before it reads data_offset for a chunk")


def _no_register(answer: object) -> Verdict | None:
    if isinstance(answer, str) and answer in REGISTERS:
        return None
    return wrong("a register's name is wanted, such as 'data_size'")
