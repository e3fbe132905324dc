"""Running flows: the one loop in which accesses are performed.

`run` goes as fast as it can. `Task` holds a flow whose next access is known before it is performed;
`run_together` drives the two ends of a migration through a pipe, the destination as soon as there is
something for it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, Protocol, TypeVar

from vfiokit.accesses import Access, Flow
from vfiokit.errors import VfioError

__all__ = ("Performer", "StarvedError", "Task", "run", "run_together")

_R = TypeVar("_R")
_S = TypeVar("_S")

_BATCH = 64  # accesses of the source between two looks at the destination and at what the user wants


class StarvedError(Exception):
    """A `Take` must wait for the other end; perform the same access again later."""


class Performer(Protocol):
    """Whoever performs accesses: a host, a debugger, a recording."""

    def perform(self, access: Access) -> Any:
        """Return the access's result, or raise a VfioError for the flow, or StarvedError."""
        ...


class Task(Generic[_R]):
    """A flow on its way. ``next`` is the access about to be performed, None when the flow has ended."""

    def __init__(self, flow: Flow[_R], performer: Performer) -> None:
        self._flow = flow
        self._perform = performer.perform
        self._result: _R | None = None
        self.next: Access | None = None
        self._advance(flow.__next__)

    def _advance(self, resume: Callable[[], Access]) -> None:
        try:
            self.next = resume()
        except StopIteration as stop:
            self.next = None
            self._result = stop.value
        except BaseException:
            self.next = None
            raise

    @property
    def done(self) -> bool:
        """The flow has ended."""
        return self.next is None

    @property
    def result(self) -> _R:
        """What the flow returned; only when it is done."""
        return self._result  # type: ignore[return-value]

    def step(self) -> None:
        """Perform the next access. StarvedError leaves the task where it is."""
        if self.next is None:
            return
        flow = self._flow
        try:
            result = self._perform(self.next)
        except VfioError as error:
            caught = error
            self._advance(lambda: flow.throw(caught))
        else:
            self._advance(lambda: flow.send(result))

    def throw(self, error: VfioError) -> None:
        """Throw *error* into the flow in place of the next access, as a cancel."""
        self._advance(lambda: self._flow.throw(error))

    def abandon(self) -> None:
        """Leave the flow where it is, for good."""
        self.next = None
        self._flow.close()

    def run(self) -> bool:
        """Perform until the end, True, or until starved, False."""
        access, flow, perform = self.next, self._flow, self._perform
        send = flow.send
        try:
            while access is not None:
                try:
                    result = perform(access)
                except VfioError as error:
                    access = flow.throw(error)
                else:
                    access = send(result)
        except StarvedError:
            self.next = access
            return False
        except StopIteration as stop:
            self._result = stop.value
        except BaseException:
            self.next = None
            raise
        self.next = None
        return True


def run(flow: Flow[_R], performer: Performer) -> _R:
    """Perform *flow* to its end and return what it returns; what it raises comes out.

    StarvedError comes out, too: a flow that takes from a live pipe needs `run_together`.
    """
    task = Task(flow, performer)
    if not task.run():
        raise StarvedError
    return task.result


def run_together(
    source: Task[_R],
    destination: Task[_S],
    *,
    backlog: Callable[[], int],
    enough: int = 1 << 22,
    between: Callable[[], None] | None = None,
    done: Callable[[], None] | None = None,
) -> None:
    """Run both ends of a migration in one thread.

    :param backlog: bytes in the pipe, put and not yet taken
    :param enough: let the destination take when there are so many
    :param between: called every now and then, for progress; it may throw into the tasks
    :param done: called when the source has ended, so that the pipe can be closed
    """
    while not source.done:
        for _ in range(_BATCH):
            source.step()
            if source.done or backlog() >= enough:
                break
        if between is not None:
            between()
        if not destination.done and backlog() >= enough:
            destination.run()
    if done is not None:
        done()
    if not destination.done:
        destination.run()
