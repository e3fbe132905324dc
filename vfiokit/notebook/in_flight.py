"""How much the page has not answered yet: nothing in Jupyter holds a kernel back but this.

A page that is slower than the kernel queues messages without bound, and its buttons wait behind them. So
every refresh is numbered, the page answers with the number once it has painted, and what is still unanswered
tells whether to draw the next::

    if flight.ready():
        send(flight.sent(), …)        # and elsewhere: flight.answered(number)

An answer can be late or lost: where Jupyter hands it to the thread that runs a cell, or to one that is gone.
One costs a time-out, and after two time-outs in a row answers are not waited for until one comes again.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

__all__ = ("TIME_OUT", "InFlight")

TIME_OUT = 1.0  # seconds that an answer may take
_PATIENCE = 2  # time-outs in a row after which answers are not waited for
# Nobody has answered for so long that the page may be gone; the server keeps what is sent meanwhile.
_ABSENT, _SELDOM = 60.0, 5.0


class InFlight:
    """Messages sent and answered, by their numbers from 1. Any thread may call anything.

    :param most: messages that may be unanswered. 2 hide the way there and back; more only make it older
    :param now: the time, seconds
    """

    def __init__(self, most: int = 2, now: Callable[[], float] = time.monotonic) -> None:
        self._lock = threading.Lock()
        self._most, self._now = most, now
        self._sent = self._answered = self._late = 0
        self._sent_at = 0.0
        self._heard_at = now()

    @property
    def number(self) -> int:
        """Number of the last message; 0 before the first."""
        return self._sent

    def ready(self) -> bool:
        """Tell whether the next message may go."""
        with self._lock:
            if not self._full():
                return True
            since = self._now() - self._sent_at
            if self._now() - self._heard_at > _ABSENT:
                return since >= _SELDOM
            return self._late >= _PATIENCE or since >= TIME_OUT

    def _full(self) -> bool:
        return self._sent - self._answered >= self._most

    def sent(self) -> int:
        """Count a message that goes now, and return its number."""
        with self._lock:
            now = self._now()
            if self._full() and now - self._sent_at >= TIME_OUT:
                self._late += 1
            self._sent += 1
            self._sent_at = now
            return self._sent

    def answered(self, number: object) -> None:
        """Take an answer as the page sent it: it has painted all up to *number*."""
        with self._lock:
            if isinstance(number, int) and self._answered < number <= self._sent:
                self._answered = number
            self._alive()

    def present(self) -> None:
        """A page has come, and has all that was sent: what is unanswered was for another."""
        with self._lock:
            self._answered = self._sent
            self._alive()

    def _alive(self) -> None:
        self._late = 0
        self._heard_at = self._now()
