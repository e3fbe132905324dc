"""Where a run is recorded: where its caller says, else where a `recordings` around it gathers them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import TypeAlias

from vfiokit.errors import VfioError
from vfiokit.recording.recording import Recording

__all__ = ("Record", "gathered", "recording_to", "recordings")

Record: TypeAlias = Recording | Path | str | None

_gathering: ContextVar[list[Recording] | None] = ContextVar("_gathering", default=None)


@contextmanager
def recordings() -> Iterator[list[Recording]]:
    """Gather the recordings of all runs begun within, also of those that were not asked to record.

    ::

        with recordings() as made:
            vfiokit.migrate(source, destination)
        made[0].save("run.vfk")
    """
    made: list[Recording] = []
    token = _gathering.set(made)
    try:
        yield made
    finally:
        _gathering.reset(token)


def gathered(recording: Recording) -> Recording:
    """Hand a run's recording to the `recordings` around it, if there is one; return it."""
    made = _gathering.get()
    if made is not None:
        made.append(recording)
    return recording


@contextmanager
def recording_to(
    record: Record, metadata: Mapping[str, str], now: Callable[[], int]
) -> Iterator[Recording | None]:
    """Give the recording of a run: *record* itself, or one that ends with the run; None if nobody wants one.

    An error that ends the run is recorded, and goes on.

    :param record: a recording, which stays open; a folder to be made; None
    :param metadata: what is told of the run
    :param now: the time on the run's clock, ns
    :raises RecordingError: the folder cannot be made
    """
    if isinstance(record, Recording):
        record.metadata.update(metadata)
        with _failing(record, now):
            yield gathered(record)
    elif record is None and _gathering.get() is None:
        yield None
    else:
        with Recording(record, metadata=metadata) as recording, _failing(recording, now):
            yield gathered(recording)


@contextmanager
def _failing(recording: Recording, now: Callable[[], int]) -> Iterator[None]:
    try:
        yield
    except VfioError as error:
        recording.fail(None, error, now())
        raise
