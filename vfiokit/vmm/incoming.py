"""The destination: every device RESUMING, the stream's sections to their handlers, then the guest runs.

v5 spec 3.5, 4.1, 4.3.
"""

from __future__ import annotations

from dataclasses import dataclass

from vfiokit.accesses import Flow, Now, Say
from vfiokit.errors import AccessError, MigrationFailedError, VfioError
from vfiokit.protocol.stream_cursor import Cursor
from vfiokit.protocol.v5.states import MigrationStatus
from vfiokit.vmm import sections
from vfiokit.vmm.handlers import SaveHandlers
from vfiokit.vmm.states import RunState
from vfiokit.vmm.vm import Vm

__all__ = ("Incoming", "migrate_in")


@dataclass
class Incoming:
    """What came of the destination's side; times in ns of the flow's clock."""

    position: int = 0
    sections: int = 0
    loaded_ns: int = 0


def migrate_in(vm: Vm, outcome: Incoming | None = None) -> Flow[Incoming]:
    """Load a stream into *vm*, up to the moment before it is started.

    ``vm.start()`` then lets the guest run; until then its devices are RESUMING.

    :param outcome: filled while it goes on, for whoever watches
    :raises MigrationBlockedError: before anything is done
    :raises MigrationFailedError: the cause chained; devices are unmapped and stay RESUMING, or as they were
    """
    vm.check_migratable()
    outcome = outcome or Incoming()
    yield from vm.set_run_state(RunState.IN_MIGRATE)
    yield from vm.enter(MigrationStatus.ACTIVE)
    cursor = Cursor()
    begun: list[SaveHandlers] = []
    try:
        for handler in vm.handlers:
            begun.append(handler)
            yield from handler.load_setup()
        vm.check()
        yield from sections.take_stream_head(cursor)
        yield from _load_sections(vm, cursor, outcome)
    except VfioError as error:
        yield from _clean_up(begun)
        yield from vm.enter(MigrationStatus.FAILED)
        raise MigrationFailedError(
            f"the incoming migration failed: {error.message}", rule=error.rule, hint=error.hint
        ) from error
    yield from _clean_up(begun)
    outcome.loaded_ns = yield Now()
    yield from vm.enter(MigrationStatus.COMPLETED)
    return outcome


def _load_sections(vm: Vm, cursor: Cursor, outcome: Incoming) -> Flow[None]:
    by_idstr = {handler.idstr: handler for handler in vm.handlers}
    by_section: dict[int, SaveHandlers] = {}
    ended: set[int] = set()
    while True:
        head = yield from sections.take_head(cursor)
        outcome.position = cursor.position
        if head is None:
            break
        if head.type == sections.SECTION_START:
            handler = by_idstr.get(head.idstr)
            if handler is None or head.instance_id != 0:
                raise cursor.wrong(
                    f"a section for {head.idstr!r}, instance {head.instance_id}",
                    rule=f"this VM has {', '.join(by_idstr) or 'nothing to load'}, each instance 0",
                )
            if head.version_id > handler.version:
                raise cursor.wrong(
                    f"{head.idstr} is version {head.version_id}",
                    rule=f"versions up to {handler.version} are known here",
                )
            if head.section_id in by_section:
                raise cursor.wrong(f"section {head.section_id} starts twice")
            by_section[head.section_id] = handler
        known = by_section.get(head.section_id)
        if known is None:
            raise cursor.wrong(f"section {head.section_id} was never started")
        yield from known.load_state(cursor)
        yield from sections.take_footer(cursor, head.section_id)
        if head.type == sections.SECTION_END:
            ended.add(head.section_id)
        outcome.sections += 1
        outcome.position = cursor.position
    missing = [handler.idstr for section, handler in by_section.items() if section not in ended]
    missing += [idstr for idstr, handler in by_idstr.items() if handler not in by_section.values()]
    if missing:
        raise cursor.wrong(f"the stream ends before the state of {', '.join(missing)} does")


def _clean_up(begun: list[SaveHandlers]) -> Flow[None]:
    for handler in begun:
        try:
            yield from handler.load_cleanup()
        except AccessError as error:
            yield Say(handler.label, error.message)
