"""Run in the lab's guest: QEMU 7.2 migrates a mediated device of our driver into a file.

An independent VMM against our driver: it speaks the interface as Linux merged it, whose registers are the
first half of v5's. Arguments: the folder for ``stream`` and ``log``.
"""

import contextlib
import json
import shutil
import socket
import subprocess
import sys
import time
import uuid
from pathlib import Path

from vfiokit.device import binding, sysfs

SOCKET, STREAM, LOG = "/tmp/qmp", "/tmp/stream", "/tmp/log"


def connect(path, deadline):
    while True:
        end = socket.socket(socket.AF_UNIX)
        with contextlib.suppress(OSError):
            end.connect(path)
            return end.makefile("rw")
        if time.monotonic() > deadline:
            raise SystemExit("QEMU does not answer")
        time.sleep(0.1)


def main(out):
    (kind,) = (kind for kind in sysfs.mdev_types() if kind.type.endswith("-v5-4m"))
    name = str(uuid.uuid4())
    binding.create_mdev(kind.path, name)
    qemu = subprocess.Popen(
        [
            *(
                "qemu-system-x86_64",
                "-accel",
                "tcg",
                "-machine",
                "pc",
                "-m",
                "32",
                "-nodefaults",
                "-display",
                "none",
            ),
            *("-device", f"vfio-pci,sysfsdev=/sys/bus/mdev/devices/{name},x-enable-migration=on"),
            *("-qmp", f"unix:{SOCKET},server,nowait", "-trace", "vfio_*", "-D", LOG, "-msg", "timestamp=on"),
        ]
    )
    qmp = connect(SOCKET, time.monotonic() + 60)
    qmp.readline()

    def command(execute, **arguments):
        qmp.write(json.dumps({"execute": execute, "arguments": arguments}) + "\n")
        qmp.flush()
        while True:
            answer = json.loads(qmp.readline())
            if "return" in answer or "error" in answer:
                return answer

    command("qmp_capabilities")
    command("migrate", uri=f"exec:cat > {STREAM}")
    deadline = time.monotonic() + 120
    while (status := command("query-migrate")["return"].get("status")) not in ("completed", "failed"):
        if time.monotonic() > deadline:
            break
        time.sleep(0.2)
    command("quit")
    qemu.wait()
    binding.remove_mdev(name)
    for path in (STREAM, LOG):
        shutil.copy(path, Path(out) / Path(path).name)
    print(status)


main(sys.argv[1])
