"""A VM as the migration sees it: run state, migration status, devices and RAM.

Starting, stopping and changing status are flows: each tells the devices, in the order in which they were
plugged in, and each holds the states against the charts of :mod:`vfiokit.vmm.states`.
"""

from __future__ import annotations

from collections.abc import Iterable

from vfiokit.accesses import Enter, Flow
from vfiokit.errors import AccessError, MigrationBlockedError
from vfiokit.protocol.v5 import region
from vfiokit.protocol.v5.device import MigratingDevice
from vfiokit.protocol.v5.quirks import INTERFACE, Profile
from vfiokit.protocol.v5.states import MigrationStatus, notify_status, vm_state_changed
from vfiokit.vmm.handlers import DeviceHandlers, SaveHandlers
from vfiokit.vmm.log_sync import log_sync
from vfiokit.vmm.memory import RamBlock
from vfiokit.vmm.pci_config_state import realize
from vfiokit.vmm.ram import RamHandlers
from vfiokit.vmm.states import RunState, check_triple

__all__ = ("Vm",)


class Vm:
    """One side of a migration.

    :param blocks: guest memory; none for a VM that is devices only
    :param profile: the VMM's habits, for every device
    """

    def __init__(
        self,
        blocks: Iterable[RamBlock] = (),
        *,
        profile: Profile = INTERFACE,
        run_state: RunState = RunState.PRELAUNCH,
    ) -> None:
        self.profile = profile
        self.run_state = run_state
        self.status = MigrationStatus.NONE
        self.devices: list[MigratingDevice] = []
        self.blocks = tuple(blocks)
        self.handlers: list[SaveHandlers] = []
        self.ram: RamHandlers | None = None
        if self.blocks:
            self.ram = RamHandlers(self.blocks, lambda: log_sync(self.devices, self.blocks))
            self.handlers.append(self.ram)

    @property
    def migrating(self) -> bool:
        """A migration goes out: its devices keep SAVING when the VM starts or stops."""
        return self.status in (MigrationStatus.SETUP, MigrationStatus.ACTIVE, MigrationStatus.DEVICE)

    def plug(self, name: str, *, path: str | None = None, pci: bool = True) -> Flow[MigratingDevice]:
        """Realize device *name*: its config state, the probe, the handlers (v5 spec 6.1).

        :param path: its place on the bus for the stream's idstr; by default slot 4 and up of bus 0
        :param pci: it has a PCI config space to migrate
        """
        device = MigratingDevice(name, profile=self.profile, vm_running=self.run_state.runs)
        if pci:
            device.ops = yield from realize(name, profile=self.profile)
        if (yield from region.probe(device)):
            slot = 4 + len(self.devices)
            self.handlers.append(DeviceHandlers(device, path or f"0000:00:{slot:02x}.0"))
        self.devices.append(device)
        return device

    def unplug_all(self) -> Flow[None]:
        """Finalise every device, last first."""
        while self.devices:
            device = self.devices.pop()
            yield from region.finalize(device)
        self.handlers = [handler for handler in self.handlers if handler is self.ram]

    def check_migratable(self) -> None:
        """Raise MigrationBlockedError with the reason when a device has a blocker (v5 spec 6.2)."""
        for device in self.devices:
            if device.blocker:
                raise MigrationBlockedError(
                    f"{device.name}: {device.blocker}",
                    hint="`vfiokit show DEVICE` lists the regions it has",
                )

    def check(self) -> None:
        """Hold all devices against the charts."""
        for device in self.devices:
            if device.region is not None:
                check_triple(device.name, self.run_state, self.status, device.device_state)

    def enter(self, status: MigrationStatus) -> Flow[None]:
        """Set the migration status."""
        self.status = status
        yield Enter("migration", status.name.lower())
        self.check()

    def notify(self) -> Flow[None]:
        """Tell the devices the status, as the migration state notifiers do."""
        for device in self.devices:
            if device.region is not None:
                yield from notify_status(device, self.status)
        self.check()

    def start(self) -> Flow[None]:
        """vm_start: the run state, then every device. A refusal is thrown once all were told."""
        yield from self._change(RunState.RUNNING)

    def stop(self, run_state: RunState) -> Flow[None]:
        """vm_stop with *run_state*, alike."""
        yield from self._change(run_state)

    def set_run_state(self, run_state: RunState) -> Flow[None]:
        """Change the run state without a start or stop, as from finish-migrate to postmigrate."""
        self.run_state = run_state
        yield Enter("vm", run_state.value)
        self.check()

    def _change(self, run_state: RunState) -> Flow[None]:
        self.run_state = run_state
        yield Enter("vm", run_state.value)
        refused: AccessError | None = None
        for device in self.devices:
            if device.region is None:
                device.vm_running = run_state.runs
                continue
            failure = yield from vm_state_changed(
                device, run_state.runs, run_state.value, migrating=self.migrating
            )
            refused = refused or failure
        if refused is not None:
            raise refused
        self.check()
