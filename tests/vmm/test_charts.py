"""VM, migration and device move as in the cover letter's two charts (v5 spec 3.4, 3.5)."""

import pytest

from vfiokit.accesses import Enter
from vfiokit.clock import SimulatedClock
from vfiokit.emulated import open_emulated
from vfiokit.errors import StateError
from vfiokit.protocol.v5.quirks import AS_POSTED, INTERFACE
from vfiokit.protocol.v5.states import MigrationStatus
from vfiokit.side import Side
from vfiokit.streams import MemoryStream
from vfiokit.vmm.incoming import migrate_in
from vfiokit.vmm.outgoing import migrate_out
from vfiokit.vmm.snapshot import save_snapshot
from vfiokit.vmm.states import TRIPLES, RunState, Triple, check_triple


class Chart:
    """Keeps the triple after every change, without repeats."""

    def __init__(self):
        self.now = {"vm": "prelaunch", "migration": "none", "dev0": "?"}
        self.path = []

    def __call__(self, access):
        if isinstance(access, Enter):
            self.now[access.machine] = access.state
            triple = tuple(self.now.values())
            if not self.path or self.path[-1] != triple:
                self.path.append(triple)


def side(chart, profile=INTERFACE, **streams):
    device = open_emulated("emulated:v5?state=256K&name=dev0")
    return Side(
        [device],
        memory=1 << 20,
        clock=SimulatedClock(),
        profile=profile,
        simulated=True,
        listener=chart,
        **streams,
    )


def save(profile=INTERFACE):
    chart, stream = Chart(), MemoryStream()
    with side(chart, profile, sink=stream) as here:
        here.plug()
        here.run(here.vm.start())
        here.run(migrate_out(here.vm, transferred=lambda: here.host.transferred))
    return chart.path, stream


def test_the_save_chart():
    path, _ = save()
    assert path == [
        ("running", "none", "?"),
        ("running", "none", "running"),
        ("running", "setup", "running"),
        ("running", "setup", "pre-copy"),
        ("running", "active", "pre-copy"),
        ("finish-migrate", "active", "pre-copy"),
        ("finish-migrate", "active", "stop-and-copy"),
        ("finish-migrate", "device", "stop-and-copy"),
        ("finish-migrate", "device", "stopped"),
        ("finish-migrate", "completed", "stopped"),
        ("postmigrate", "completed", "stopped"),
    ]


def test_the_resume_chart():
    _, stream = save()
    chart = Chart()
    with side(chart, source=stream.reader()) as there:
        there.plug()
        there.run(migrate_in(there.vm))
        there.run(there.vm.start())
    assert chart.path == [
        ("inmigrate", "none", "?"),
        ("inmigrate", "active", "?"),
        ("inmigrate", "active", "resuming"),
        ("inmigrate", "completed", "resuming"),
        ("running", "completed", "resuming"),
        ("running", "completed", "running"),
    ]


@pytest.mark.parametrize(
    ("profile", "states"),
    [(INTERFACE, ["running", "stop-and-copy", "stopped", "running"]),
     (AS_POSTED, ["running", "stopped", "stop-and-copy", "stopped", "running"])],
)  # fmt: skip
def test_a_snapshot_and_its_quirk(profile, states):
    chart, stream = Chart(), MemoryStream()
    with side(chart, profile, sink=stream) as here:
        here.plug()
        here.run(here.vm.start())
        here.run(save_snapshot(here.vm))
    seen = [device for _, _, device in chart.path if device != "?"]
    assert [state for number, state in enumerate(seen) if not number or seen[number - 1] != state] == states
    there = Chart()
    with side(there, source=stream.reader()) as other:
        other.plug()
        other.run(migrate_in(other.vm))
        other.run(other.vm.start())
    assert there.path[-1] == ("running", "completed", "running")


def test_a_paused_guest_migrates_and_its_destination_waits():
    chart, stream = Chart(), MemoryStream()
    with side(chart, sink=stream) as here:
        here.plug()
        here.run(here.vm.start())
        here.run(here.vm.stop(RunState.PAUSED))
        here.run(migrate_out(here.vm, transferred=lambda: here.host.transferred))
    assert ("paused", "setup", "stop-and-copy") in chart.path
    assert ("paused", "active", "stop-and-copy") in chart.path


def test_pause_and_continue_in_pre_copy_keeps_saving():
    chart = Chart()
    with side(chart, sink=MemoryStream()) as here:
        here.plug()
        here.fill()
        here.run(here.vm.start())
        task = here.task(migrate_out(here.vm, transferred=lambda: here.host.transferred))
        while here.vm.status is not MigrationStatus.ACTIVE:
            task.step()
        here.run(here.vm.stop(RunState.PAUSED))
        here.run(here.vm.start())
        task.run()
        assert here.vm.status is MigrationStatus.COMPLETED
    devices = [device for _, _, device in chart.path]
    assert devices.index("stop-and-copy") < len(devices) - 1 - devices[::-1].index("pre-copy")


def test_triples_that_may_not_be():
    for triple in (
        Triple(RunState.RUNNING, MigrationStatus.NONE, 3),
        Triple(RunState.RUNNING, MigrationStatus.ACTIVE, 1),
        Triple(RunState.FINISH_MIGRATE, MigrationStatus.DEVICE, 3),
        Triple(RunState.POST_MIGRATE, MigrationStatus.COMPLETED, 2),
        Triple(RunState.IN_MIGRATE, MigrationStatus.ACTIVE, 2),
        Triple(RunState.RUNNING, MigrationStatus.NONE, 6),
    ):
        assert triple not in TRIPLES
        with pytest.raises(StateError) as caught:
            check_triple("dev0", *triple)
        assert "charts of the cover letter" in str(caught.value)


def test_no_triple_has_an_invalid_device_state():
    assert {triple.device for triple in TRIPLES} <= {0, 1, 2, 3, 4}


def test_a_device_that_lost_its_state_is_noticed():
    """The VMM's own books are checked as the flow runs, not at its end."""
    with side(Chart(), sink=MemoryStream()) as here:
        here.plug()
        here.fill()
        here.run(here.vm.start())
        task = here.task(migrate_out(here.vm, transferred=lambda: here.host.transferred))
        while here.vm.status is not MigrationStatus.ACTIVE:
            task.step()
        here.vm.devices[0].device_state = 4
        with pytest.raises(StateError):
            here.vm.check()
