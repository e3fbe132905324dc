"""Chapter 6: the stream that is put while the guest stands, and who finds a wrong byte in it."""

from __future__ import annotations

import tempfile
from functools import cache
from pathlib import Path

from vfiokit.addresses import open_device
from vfiokit.course.exercises import Verdict, exercise, right, wrong
from vfiokit.course.runs import as_number
from vfiokit.errors import AccessError, MigrationFailedError, StreamError
from vfiokit.migration import load_file, save_file
from vfiokit.vmm.stream_items import Item, read_items

__all__ = ()

_SOURCE = "emulated:v5?state=256K&chunk=64K&dirty=20M/s&irq=msix&name=here"
_THERE = "emulated:v5?state=256K&chunk=64K&fill=zero&name=there"
_MEMORY = 256 << 10
_HEADER = 8  # bytes: magic and version (v5 spec 4.1)


@cache
def _stream() -> bytes:
    """Return the notebook's stream."""
    with tempfile.TemporaryDirectory() as folder, open_device(_SOURCE) as device:
        path = Path(folder, "stream")
        save_file(device, path, memory=_MEMORY)
        return path.read_bytes()


@cache
def _items() -> tuple[Item, ...]:
    return tuple(read_items(_stream()))


@exercise("06.1", "the END sections: the last item's end less the first one's offset")
def bytes_while_stopped(answer: object) -> Verdict:
    """Compare with the length of the END sections, heads and footers too."""
    first = next(item.offset for item in _items() if item.what == "section type" and item.data[0] == 3)
    size, number = len(_stream()) - first, as_number(answer)
    if number is None:
        return wrong("a number of bytes is wanted")
    if number == size:
        return right(f"{size} of {len(_stream())} bytes. All else went while the guest ran.")
    payload = sum(item.size for item in _items() if item.offset >= first and item.what == "device data")
    if number == payload:
        return wrong("that is the device's data alone; heads, config state and RAM's end go then, too")
    if number == len(_stream()):
        return wrong("that is the whole stream; most of it went while the guest ran")
    return wrong("from the first END section's type byte to the end of the stream, both included")


@exercise("06.2", "look for an item whose value only the format decides, such as a marker")
def found_by_the_loader(answer: object) -> Verdict:
    """Flip the byte there; the VMM must refuse the stream before the device is given the item."""
    if answer in range(_HEADER):
        return wrong("that is the header, as above; look behind it")
    return _flipped(answer, wanted=StreamError)


@exercise("06.3", "the loader cannot know what the vendor's bytes mean; who can?")
def found_by_the_driver(answer: object) -> Verdict:
    """Flip the byte there; the VMM must pass it on, and the driver refuse it."""
    return _flipped(answer, wanted=AccessError)


def _flipped(answer: object, wanted: type[Exception]) -> Verdict:
    number = as_number(answer)
    if number is None or not number.is_integer() or not 0 <= number < len(_stream()):
        return wrong(f"a byte's place is wanted, 0 to {len(_stream()) - 1}")
    place = int(number)
    item = next(item for item in _items() if item.offset <= place < item.offset + item.size)
    cause = _refusal(place)
    if cause is None:
        return wrong(
            f"byte {place:#x} is of {item.what!r}: with it changed, the stream still loads. Nobody notices"
        )
    said = str(cause).partition("\n")[0]
    if isinstance(cause, wanted):
        return right(f"byte {place:#x} is of {item.what!r}, and what came is: {said}")
    who = (
        "the driver, by a failed access"
        if isinstance(cause, AccessError)
        else "the loader, before the driver"
    )
    return wrong(f"byte {place:#x} is of {item.what!r}, and found by {who}: {said}")


def _refusal(place: int) -> BaseException | None:
    """Load the stream with a byte changed; return what it was refused for, None if it was not."""
    data = bytearray(_stream())
    data[place] ^= 0xFF
    with tempfile.TemporaryDirectory() as folder, open_device(_THERE) as device:
        path = Path(folder, "stream")
        path.write_bytes(data)
        try:
            load_file(path, device, memory=_MEMORY)
        except MigrationFailedError as error:
            return error.__cause__
    return None
