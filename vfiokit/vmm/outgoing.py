"""The migration loop of the source, with its cancel and failure paths (v5 spec 3.4).

A cancel may come at any access: throw a MigrationCancelledError into the flow. A failure of any access
ends the migration, not the source: the guest runs on, its devices are told so.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from vfiokit.accesses import Flow, Now, Put, Sample, Say, Wait
from vfiokit.errors import AccessError, MigrationCancelledError, MigrationFailedError, RuleError, VfioError
from vfiokit.protocol.v5.states import MigrationStatus
from vfiokit.vmm import sections
from vfiokit.vmm.handlers import SaveHandlers, Totals
from vfiokit.vmm.sections import SectionHead
from vfiokit.vmm.states import RunState
from vfiokit.vmm.vm import Vm

__all__ = ("Outgoing", "Parameters", "migrate_out", "section")

_WINDOW_NS = 100_000_000  # QEMU measures and limits bandwidth in windows of 100 ms (BUFFER_DELAY)
_IDLE_NS = 1_000_000  # between turns when nobody has anything to send; QEMU asks again at once
_NS = 1_000_000_000

_R = TypeVar("_R")


@dataclass(frozen=True)
class Parameters:
    """What the user may ask of a migration.

    :param downtime_limit_ns: how long the guest may be stopped, by estimate
    :param bandwidth: most bytes a second during pre-copy; None for no limit
    :param precopy_limit_ns: how long pre-copy may take before the migration is given up
    """

    downtime_limit_ns: int = 300_000_000
    bandwidth: int | None = None
    precopy_limit_ns: int = 600 * _NS


@dataclass
class Outgoing:
    """What came of the source's side; times in ns of the flow's clock, sizes in bytes."""

    transferred: int = 0
    turns: int = 0
    syncs: int = 0
    began_ns: int = 0
    setup_ns: int = 0
    stopped_ns: int = 0
    ended_ns: int = 0
    bandwidth: float = 0.0
    threshold: int = 0
    pending_at_stop: int = 0

    @property
    def total_ns(self) -> int:
        """From the start to the last byte put."""
        return self.ended_ns - self.began_ns


def migrate_out(
    vm: Vm, parameters: Parameters | None = None, *, transferred: Callable[[], int]
) -> Flow[Outgoing]:
    """Migrate *vm* into the stream.

    :param transferred: bytes put into the stream so far; whoever performs the puts knows it
    :raises MigrationBlockedError: before anything is done
    :raises MigrationCancelledError: after the cancel path; the guest runs as before. A cancel that comes
        when all has been sent is of no effect.
    :raises MigrationFailedError: after the failure path, the cause chained
    """
    vm.check_migratable()
    run = _Run(vm, parameters or Parameters(), transferred)
    try:
        yield from run.whole()
    except MigrationCancelledError:
        if vm.status is MigrationStatus.COMPLETED:
            # Too late: all has been sent, as in QEMU the cancel is of no effect.
            yield from run.clean_up(MigrationStatus.COMPLETED)
            return run.outcome
        yield from vm.enter(MigrationStatus.CANCELLING)
        yield from run.back_out(MigrationStatus.CANCELLED)
        raise
    except VfioError as error:
        yield from run.back_out(MigrationStatus.FAILED)
        raise MigrationFailedError(
            f"the migration failed: {error.message}", rule=error.rule, hint=error.hint
        ) from error
    return run.outcome


class _Run:
    """One attempt: the loop's own figures, and its parts in order."""

    def __init__(self, vm: Vm, parameters: Parameters, transferred: Callable[[], int]) -> None:
        self.vm = vm
        self.parameters = parameters
        self.transferred = transferred
        self.outcome = Outgoing()
        self.was_running = vm.run_state.runs
        self.was_state = vm.run_state
        self.to_clean = list(vm.handlers)
        self.window_ns = 0
        self.window_bytes = 0

    def whole(self) -> Flow[None]:
        self.outcome.began_ns = self.window_ns = yield Now()
        self.window_bytes = self.transferred()
        yield from self.vm.enter(MigrationStatus.SETUP)
        yield from self.vm.notify()
        yield sections.put_stream_head()
        for number, handler in self._handlers():
            head = SectionHead(sections.SECTION_START, number, handler.idstr, 0, handler.version)
            yield from section(head, handler.save_setup())
        self.outcome.setup_ns = (yield Now()) - self.outcome.began_ns
        yield from self.vm.enter(MigrationStatus.ACTIVE)
        yield from self._precopy()
        yield from self._stop_and_copy()
        yield from self.clean_up(MigrationStatus.COMPLETED)

    def _handlers(self) -> list[tuple[int, SaveHandlers]]:
        return list(enumerate(self.vm.handlers, start=1))

    def _precopy(self) -> Flow[None]:
        """Turn after turn: what is pending, one portion of each while it is over the threshold."""
        outcome = self.outcome
        while True:
            pending = yield from self._pending()
            total = sum(size for _, size in pending)
            outcome.turns += 1
            ram = self.vm.ram
            outcome.syncs = ram.syncs if ram else 0
            yield Sample(
                outcome.turns,
                tuple(pending),
                outcome.threshold,
                outcome.bandwidth,
                self.transferred(),
                ram.dirty_pages if ram else 0,
                outcome.syncs,
            )
            if total == 0 or total < outcome.threshold:
                outcome.pending_at_stop = total
                return
            if (yield from self._iterate()):
                yield Wait(_IDLE_NS)
            yield from self._measure(total)

    def _pending(self) -> Flow[list[tuple[str, int]]]:
        totals = Totals()
        pending: list[tuple[str, int]] = []
        for _, handler in self._handlers():
            before = totals.all
            yield from handler.save_pending(totals, self.outcome.threshold)
            pending.append((handler.label, totals.all - before))
        return pending

    def _iterate(self) -> Flow[bool]:
        """qemu_savevm_state_iterate: a handler that is not done keeps the later ones waiting.

        Returns whether all are done: nobody has anything to send just now.
        """
        for number, handler in self._handlers():
            iterate = handler.save_iterate()
            if not (yield from section(SectionHead(sections.SECTION_PART, number), iterate)):
                return False
        return True

    def _measure(self, pending: int) -> Flow[None]:
        """At the end of a window of 100 ms, or of its bytes: bandwidth, and the threshold from it."""
        outcome, parameters = self.outcome, self.parameters
        now: int = yield Now()
        moved = self.transferred() - self.window_bytes
        if parameters.bandwidth is not None and moved * _NS >= parameters.bandwidth * _WINDOW_NS:
            # The window's bytes are spent: let the time pass that they should have taken.
            due = self.window_ns + moved * _NS // parameters.bandwidth
            if due > now:
                yield Wait(due - now)
                now = yield Now()
        elif now - self.window_ns < _WINDOW_NS:
            return
        outcome.bandwidth = moved * _NS / max(now - self.window_ns, 1)
        outcome.threshold = int(outcome.bandwidth * parameters.downtime_limit_ns / _NS)
        self.window_ns, self.window_bytes = now, self.transferred()
        if now - outcome.began_ns > parameters.precopy_limit_ns:
            raise MigrationFailedError(
                f"not converged after {(now - outcome.began_ns) / _NS:.1f} s of pre-copy: "
                f"{pending} bytes pending, {outcome.threshold} could be sent within the downtime limit",
                hint="raise the downtime limit or the bandwidth, or slow the workload down",
            )

    def _stop_and_copy(self) -> Flow[None]:
        vm = self.vm
        self.outcome.stopped_ns = yield Now()
        yield from vm.stop(RunState.FINISH_MIGRATE)
        yield from vm.enter(MigrationStatus.DEVICE)
        for number, handler in self._handlers():
            yield from section(SectionHead(sections.SECTION_END, number), handler.save_complete())
        yield sections.put_eof()
        self.outcome.transferred = self.transferred()
        self.outcome.ended_ns = yield Now()
        yield from vm.enter(MigrationStatus.COMPLETED)

    def clean_up(self, status: MigrationStatus) -> Flow[None]:
        """migrate_fd_cleanup: every handler's cleanup, then the notifiers."""
        if status is MigrationStatus.COMPLETED:
            yield from self.vm.set_run_state(RunState.POST_MIGRATE)
        while self.to_clean:
            yield from self.to_clean[0].save_cleanup()
            del self.to_clean[0]
        if self.vm.status is not status:
            yield from self.vm.enter(status)
        yield from self.vm.notify()

    def back_out(self, status: MigrationStatus) -> Flow[None]:
        """Start the guest again if this migration stopped it, clean up, tell the devices.

        A device that refuses even that is reported and left: there is nothing more to try.
        """
        vm = self.vm
        if status is MigrationStatus.FAILED:
            yield from vm.enter(MigrationStatus.FAILED)
        if vm.run_state is not self.was_state:
            try:
                yield from vm.start() if self.was_running else vm.stop(self.was_state)
            except AccessError as error:
                device = getattr(error.access, "device", "vm")
                yield Say(device, f"could not be told to go on: {error.message}")
        yield from self.clean_up(status)


def section(head: SectionHead, payload: Flow[_R]) -> Flow[_R]:
    """Put *payload* between its head and footer.

    When it fails the footer is put all the same, so that what is in the stream can be cut (v5 spec 4.2).
    """
    yield sections.put_head(head)
    try:
        result = yield from payload
    except AccessError as error:
        if not isinstance(error.access, Put):  # a stream that failed takes no footer
            yield sections.put_footer(head.section_id)
        raise
    except RuleError:
        yield sections.put_footer(head.section_id)
        raise
    yield sections.put_footer(head.section_id)
    return result
