"""One guest: QEMU's command line, and its life from the first byte to the exit status.

A guest runs one command and ends. It sees this machine's file system read-only at
the same paths; ``/tmp``, ``/run`` and ``/dev/shm`` are its own and empty, but for the
paths that the command needs (working folder, Python, the command's own arguments).

The two sides speak through a folder that both see (``lab/guest/init`` tells its files),
not through the console: so what the command prints arrives byte by byte as it was
printed, apart from the kernel's messages, and its exit status is exact.

CPUs are emulated (TCG). ``VFIOKIT_LAB_ACCEL=kvm`` asks for KVM instead; that
``/dev/kvm`` exists does not mean that a stock kernel starts under it, so it is never
chosen by itself.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from vfiokit.errors import LabError
from vfiokit.lab.cache import Kernel
from vfiokit.lab.initrd import Archive
from vfiokit.lab.life import BOOT_TIMEOUT, PATIENCE, Result, live
from vfiokit.lab.machines import TRANSPORT, Machine
from vfiokit.lab.modules import ModuleTree, module_name, read_module

__all__ = ("QEMU", "Guest")

QEMU = "qemu-system-x86_64"
INIT = Path(__file__).parent / "guest" / "init"
PARAMETERS = r"(\w+=[\w.,:/+-]*( |$))*"
INHERITED = ("LANG", "LC_ALL", "LC_CTYPE", "PATH", "PYTHONPATH", "TERM", "TZ", "VIRTUAL_ENV")
TOOLS = "/run/vfiokit/bin"
# The file system is read-only: nobody should try to write next to the sources.
GUEST_ENV = {
    "HOME": "/tmp",  # noqa: S108
    "TMPDIR": "/tmp",  # noqa: S108
    "PYTHONDONTWRITEBYTECODE": "1",
    "PYTHONUNBUFFERED": "1",
    "PYTEST_ADDOPTS": "-p no:cacheprovider",
    "HYPOTHESIS_STORAGE_DIRECTORY": "/tmp/hypothesis",  # noqa: S108
}


@dataclass(frozen=True, slots=True)
class Guest:
    """What to start.

    :param kernel: from :func:`vfiokit.lab.prepare`
    :param machine: a row of :data:`vfiokit.lab.MACHINES`
    :param driver: the lab's driver, from :func:`vfiokit.lab.build_driver`; None for none
    :param parameters: the driver's module parameters
    :param memory_mib: the guest's memory, MiB
    :param visible: paths under ``/tmp``, ``/run`` or ``/dev/shm`` that the guest shall see
    :param writable: folders that the guest may write
    """

    kernel: Kernel
    machine: Machine
    driver: Path | None = None
    parameters: Mapping[str, object] = field(default_factory=dict)
    memory_mib: int = 1024
    visible: Sequence[Path] = ()
    writable: Sequence[Path] = ()

    def initrd(self, *, limit: float, terminal: str = "") -> bytes:
        """Return the initrd: busybox, the modules, and what ``/init`` has to know.

        :param limit: seconds after which the guest powers off by itself
        :param terminal: ``stty`` settings if the command gets a terminal, else empty
        """
        tree = ModuleTree(self.kernel.modules)
        transport = tree.order(TRANSPORT)
        extra = [self.driver] if self.driver is not None else []
        others = [path for path in tree.order(self.machine.modules, extra=extra) if path not in transport]

        archive = Archive()
        archive.file("init", INIT.read_bytes(), executable=True)
        archive.file("bin/busybox", self.kernel.busybox.read_bytes(), executable=True)
        archive.link("bin/sh", "busybox")
        for path in (*transport, *others):
            archive.file(f"lab/ko/{module_name(path)}.ko", read_module(path))
        settings = f"LIMIT={int(limit)}\nTERMINAL={shlex.quote(terminal)}\n"
        archive.file("lab/settings", settings.encode())
        archive.file("lab/transport", self._module_lines(transport))
        archive.file("lab/modules", self._module_lines(others))
        archive.file("lab/visible", _lines(str(path) for path in self.visible))
        archive.file("lab/writable", _lines(f"{tag} {path}" for tag, path in self._shares()))
        return archive.finish()

    def _module_lines(self, paths: Sequence[Path]) -> bytes:
        own = " ".join(f"{name}={value}" for name, value in self.parameters.items())
        if not re.fullmatch(PARAMETERS, own):
            raise LabError(
                f"the driver's parameters {own!r} cannot be passed on", rule="words without spaces and quotes"
            )
        return _lines(
            f"{module_name(path)}.ko {own if path == self.driver else ''}".strip() for path in paths
        )

    def _shares(self) -> list[tuple[str, Path]]:
        return [(f"writable{index}", path) for index, path in enumerate(self.writable)]

    def command_line(self, control: Path, initrd: Path, console: Path) -> list[str]:
        """Return QEMU's arguments, without a terminal.

        :param control: the folder through which host and guest speak
        """
        accel = os.environ.get("VFIOKIT_LAB_ACCEL") or "tcg"
        if accel not in {"tcg", "kvm"}:
            raise LabError(f"VFIOKIT_LAB_ACCEL={accel} is not an accelerator of the lab", hint="tcg or kvm")
        argv = [QEMU, "-accel", "tcg,thread=multi" if accel == "tcg" else "kvm"]
        argv += ["-cpu", "max" if accel == "tcg" else "host", "-smp", "1", "-m", str(self.memory_mib)]
        argv += ["-nodefaults", "-no-user-config", "-no-reboot", "-display", "none", *self.machine.qemu]
        argv += ["-kernel", str(self.kernel.vmlinux), "-initrd", str(initrd)]
        argv += ["-append", " ".join(self.machine.append)]
        argv += ["-chardev", f"file,id=console,path={_escaped(console)}", "-serial", "chardev:console"]
        shares = [("root", Path("/"), "on"), ("control", control, "off")]
        shares += [(tag, path, "off") for tag, path in self._shares()]
        for tag, path, readonly in shares:
            # The host's tree has several file systems in it, whose inode numbers must not mix.
            options = f"local,id={tag},path={_escaped(path)},security_model=none,readonly={readonly}"
            argv += ["-fsdev", options + (",multidevs=remap" if tag != "control" else "")]
            argv += ["-device", f"virtio-9p-pci,fsdev={tag},mount_tag={tag}"]
        return argv

    def run(
        self,
        argv: Sequence[str],
        *,
        timeout: float = 600.0,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        tee: BinaryIO | None = None,
        terminal: bool = False,
    ) -> Result:
        """Start the guest, run a command in it, and wait for both to end.

        :param argv: the command and its arguments; found by ``PATH``, as on the host
        :param timeout: seconds that the command may take, not counting the boot
        :param env: variables on top of those that a guest's command has anyway
        :param cwd: working folder, by default the caller's
        :param tee: where to write the command's output as it comes, besides collecting it
        :param terminal: the command talks to this process's terminal; its output is not collected
        :raises LabError: the guest did not start, hung, died, or the command took too long
        """
        if not argv:
            raise LabError("there is no command to run in the guest")
        folder = (cwd or Path.cwd()).absolute()
        with tempfile.TemporaryDirectory(prefix="vfiokit-lab-") as temporary:
            work = Path(temporary)
            control = work / "control"
            control.mkdir()
            (control / "output").touch()
            (control / "command").write_text(
                self.script(argv, env or {}, folder), encoding="utf-8", errors="surrogateescape"
            )
            settings = _terminal_settings() if terminal else ""
            (work / "initrd").write_bytes(
                self.initrd(limit=BOOT_TIMEOUT + timeout + PATIENCE, terminal=settings)
            )
            command_line = self.command_line(control, work / "initrd", work / "console")
            if terminal:
                command_line += ["-chardev", "stdio,id=terminal,signal=off", "-serial", "chardev:terminal"]
            with (work / "qemu").open("wb") as words:
                return live(command_line, work, words, timeout=timeout, tee=tee, terminal=terminal)

    def script(self, argv: Sequence[str], env: Mapping[str, str], cwd: Path) -> str:
        """Return the shell script that runs a command in the guest, with its variables, in *cwd*."""
        values = {name: os.environ[name] for name in INHERITED if name in os.environ}
        values["PATH"] = f"{values.get('PATH') or os.defpath}:{TOOLS}"
        values |= GUEST_ENV | {
            "VFIOKIT_LAB": self.machine.name,
            "VFIOKIT_LAB_MODULES": str(self.kernel.modules),
            "VFIOKIT_LAB_DRIVER": str(self.driver or ""),
        }
        values |= env
        for name in values:
            if not re.fullmatch(r"[A-Za-z_]\w*", name, re.ASCII):
                raise LabError(f"{name!r} cannot be the name of a variable in the guest")
        where = shlex.quote(str(cwd))
        refusal = shlex.quote(f"the working folder {cwd} is not there in the guest")
        lines = [f"cd {where} || {{ echo {refusal} >/run/vfiokit/control/failure; exit 126; }}"]
        lines += [f"export {name}={shlex.quote(value)}" for name, value in values.items()]
        lines += [f"exec {shlex.join(argv)}", ""]
        return "\n".join(lines)


def _lines(items: Iterable[str]) -> bytes:
    return "".join(f"{item}\n" for item in items).encode("utf-8", "surrogateescape")


def _escaped(path: Path) -> str:
    # In QEMU's option lists a comma ends the value and a doubled one is itself.
    return str(path).replace(",", ",,")


def _terminal_settings() -> str:
    size = shutil.get_terminal_size()
    return f"rows {size.lines} columns {size.columns}"
