"""A guest with a real kernel, a real vendor driver and a real ``/dev/vfio``, by one command.

QEMU emulates the machine, so no hardware, no KVM and no root are needed. The guest
runs Debian's kernel and sees this machine's own file system read-only at the same
paths: the same Python, the same checkout, nothing copied or installed::

    from vfiokit import lab
    result = lab.run([sys.executable, "-c", "import os; print(os.uname().release)"])
    result.returncode, result.output

:func:`run` starts a guest for one command and takes 10 to 25 s; :func:`shell` gives
a terminal in one. Both call :func:`prepare`, which fetches the kernel the first time.
:func:`up` leaves a guest running until :func:`down`; its devices are then in reach of the
host, as ``lab:v5`` (:mod:`vfiokit.lab.slots` has the names).
The machines to choose from are in :data:`MACHINES`.
"""

from __future__ import annotations

from vfiokit.lab.build import build_driver
from vfiokit.lab.cache import Kernel, Progress, cache_folder, prepare
from vfiokit.lab.command import available, run, shell
from vfiokit.lab.guest import Guest
from vfiokit.lab.life import Result
from vfiokit.lab.machines import DEFAULT, MACHINES, Machine
from vfiokit.lab.running import GuestDiedError, Running
from vfiokit.lab.up import down, status, up

__all__ = (
    "DEFAULT",
    "MACHINES",
    "Guest",
    "GuestDiedError",
    "Kernel",
    "Machine",
    "Progress",
    "Result",
    "Running",
    "available",
    "build_driver",
    "cache_folder",
    "down",
    "prepare",
    "run",
    "shell",
    "status",
    "up",
)
