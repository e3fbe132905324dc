"""Step a migration, stop where you want, go back, and replay it next year.

dbg = vfiokit.debug(source, destination, memory=16 << 20)
dbg.step(); dbg.next(); dbg.until("vfio_save_iterate"); dbg.until(pending_below=1 << 20)
print(dbg.next_access, dbg.explain())
dbg.finish(); dbg.recording.save("bringup.vfk")
vfiokit.replay("bringup.vfk").finish()
"""

from vfiokit.debugger.breakpoints import Breakpoint
from vfiokit.debugger.debugger import Debugger
from vfiokit.debugger.moment import Moment
from vfiokit.debugger.replaying import ReplayDifferenceError, replay
from vfiokit.debugger.session import debug
from vfiokit.debugger.stops import Stop

__all__ = ("Breakpoint", "Debugger", "Moment", "ReplayDifferenceError", "Stop", "debug", "replay")
