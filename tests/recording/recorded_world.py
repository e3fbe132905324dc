"""A recorded migration of one emulated device on a simulated clock."""

from vfiokit.clock import SimulatedClock
from vfiokit.emulated import open_emulated
from vfiokit.recording import Recorder
from vfiokit.runner import Task, run_together
from vfiokit.side import Side
from vfiokit.streams import Pipe
from vfiokit.trace import Tracer, load
from vfiokit.vmm.incoming import migrate_in
from vfiokit.vmm.outgoing import Parameters, migrate_out

OPTIONS = "state=1M&dirty=4M/s&dma=4M/s&chunk=256K&irq=msix&name=dev0"


class World:
    """Both sides; what a flow does on either is recorded."""

    def __init__(self, recording, memory=4 << 20):
        self.clock = SimulatedClock()
        self.pipe = Pipe()
        common = {"memory": memory, "clock": self.clock, "simulated": True, "link": 200e6}
        self.tracer = Tracer(load("v5"), clock=self.clock.now)
        here = open_emulated(f"emulated:v5?{OPTIONS}&seed=1", clock=self.clock)
        there = open_emulated("emulated:v5?state=1M&chunk=256K&fill=zero&name=dev0", clock=self.clock)
        self.here = Side([here], sink=self.pipe, tracer=self.tracer, **common)
        self.there = Side([there], source=self.pipe, **common)
        self.recorders = {
            "source": Recorder(self.here.host, recording, "source", self.clock, self.here.sections),
            "destination": Recorder(
                self.there.host, recording, "destination", self.clock, self.there.sections
            ),
        }

    def task(self, name, flow):
        return Task(flow, self.recorders[name])

    def run(self, name, flow):
        self.task(name, flow).run()

    def migrate(self):
        self.run("source", self.here.vm.plug("dev0", pci=True))
        self.run("destination", self.there.vm.plug("dev0", pci=True))
        self.here.fill()
        self.run("source", self.here.vm.start())
        flow = migrate_out(
            self.here.vm,
            Parameters(downtime_limit_ns=20_000_000),
            transferred=lambda: self.here.host.transferred,
        )
        out, into = self.task("source", flow), self.task("destination", migrate_in(self.there.vm))
        run_together(out, into, backlog=lambda: self.pipe.backlog, done=self.pipe.close)
        self.run("destination", self.there.vm.start())

    def close(self):
        self.here.close()
        self.there.close()


class Player:
    """Performs nothing: gives what a recording says, and holds each access against it."""

    def __init__(self, recording, side):
        self.steps = recording.steps(side)
        self.transferred = 0
        self.played = 0

    def perform(self, access):
        step = next(self.steps)
        difference = step.differs(access)
        assert difference is None, difference
        self.played += 1
        if step.kind == "Put":
            self.transferred += len(access.data)
        if step.error is not None:
            raise step.error
        return step.result
