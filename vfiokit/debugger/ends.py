"""One end of a migration under the debugger: a task, and what stands between it and its host."""

from __future__ import annotations

import errno as _errno
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from vfiokit import accesses as a
from vfiokit.accesses import Flow
from vfiokit.debugger.moment import Fact, fact_of
from vfiokit.errors import AccessError, AddressError, StateError, VfioError
from vfiokit.runner import Performer, Task

__all__ = ("BrokenOff", "End", "Override")


class BrokenOff(Exception):  # noqa: N818 - it carries one
    """Who performs cannot go on; *error* says why. The flow is not told: it is left where it is."""

    def __init__(self, error: VfioError) -> None:
        super().__init__(str(error))
        self.error = error


@dataclass(frozen=True)
class Override:
    """What the next access comes back with instead: a number; or an error, and it is not performed."""

    value: int | None = None
    errno: int | None = None
    error: VfioError | None = None


class _Overriding:
    """Performs accesses, but for one that is to come back with something else."""

    def __init__(self, inner: Performer) -> None:
        self._inner = inner
        self.override: Override | None = None

    def perform(self, access: a.Access) -> Any:
        override, self.override = self.override, None
        if override is None:
            return self._inner.perform(access)
        if override.error is not None:
            raise override.error
        if override.errno is not None:
            raise AccessError(access, override.errno, hint="forced in the debugger")
        result = self._inner.perform(access)
        return override.value if override.value is not None else result


class End:
    """Steps one flow and tells what came of each access.

    :param make_flow: makes the flow, given a function that tells the bytes put into the stream so far
    :param performer: the host, or a replay
    :param wrap: puts a recorder around whoever performs
    :param now: time since the session began, ns
    :param failed: told of the error that the flow ends with
    """

    def __init__(
        self,
        name: str,
        make_flow: Callable[[Callable[[], int]], Flow[Any]],
        performer: Performer,
        *,
        wrap: Callable[[Performer], Performer] = lambda performer: performer,
        now: Callable[[], int] = time.monotonic_ns,
        failed: Callable[[VfioError], None] = lambda _error: None,
    ) -> None:
        self.name = name
        self.transferred = 0
        self.flow = make_flow(lambda: self.transferred)
        self._overriding = _Overriding(performer)
        self._inner = wrap(self._overriding)
        self._now = now
        self._failed = failed
        # The last access, with its result and its error.
        self.performed: tuple[a.Access, Any, VfioError | None] = (a.Now(), None, None)
        self.error: VfioError | None = None
        self.task: Task[Any] = Task(self.flow, self)

    @property
    def next(self) -> a.Access | None:
        """The access about to be performed; None at the end."""
        return self.task.next

    @property
    def done(self) -> bool:
        """The flow has ended."""
        return self.task.done

    def perform(self, access: a.Access) -> Any:
        """Perform *access* for the task, and keep what came of it."""
        try:
            result = self._inner.perform(access)
        except VfioError as error:
            self.performed = (access, None, error)
            raise
        self.performed = (access, result, None)
        if isinstance(access, a.Put):
            self.transferred += len(access.data)
        return result

    def step(self, override: Override | None = None) -> Fact:
        """Perform the next access and return its fact; StarvedError when it must wait.

        What the flow raises at its end is kept in ``error``.
        """
        if self.next is None:
            raise StateError("step", f"the {self.name}'s end", ("a flow that goes on",))
        self._check(override)
        self._overriding.override = override
        try:
            self.task.step()
        except VfioError as error:
            self.error = error
            self._failed(error)
        except BrokenOff as broken:
            self.performed = (self.task.next or a.Now(), None, broken.error)
            self.error = broken.error
            self.task.abandon()
        finally:
            self._overriding.override = None
        access, result, refused = self.performed
        fact = fact_of(self.name, access, result, refused, self._now())
        # Bulk results may be windows on live memory: nobody may hold them past the access.
        if not isinstance(result, (int, type(None))):
            self.performed = (access, None, refused)
        return fact

    def _check(self, override: Override | None) -> None:
        if override is None:
            return
        if override.value is not None and not isinstance(self.next, (a.Read, a.Now)):
            raise StateError("force a value", str(self.next), ("a register read",))
        if isinstance(self.next, a.Read) and not 0 <= (override.value or 0) < 1 << 8 * self.next.width:
            raise AddressError(f"{override.value:#x} does not fit {self.next.field}: {self.next.width} bytes")
        if override.errno is not None and override.errno not in _errno.errorcode:
            raise StateError(f"force errno {override.errno}", "no errno", ("EIO", "EINVAL", "…"))
