"""A debugger for VFIO device migration.

Start with `open`, which reaches a device by its address, and `migrate`::

    import vfiokit
    source, there = vfiokit.open("emulated:v5?state=64M&dirty=40M/s"), vfiokit.open("emulated:v5?state=64M")
    print(vfiokit.migrate(source, there).to_dict())

Every error is a `VfioError`. Importing this package costs little: numpy, pandas and the rest are
imported when something needs them.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from vfiokit.errors import VfioError
from vfiokit.version import __version__ as __version__

if TYPE_CHECKING:
    from vfiokit.addresses import open_device as open
    from vfiokit.debugger import debug, replay
    from vfiokit.migration import Report, load_file, migrate, save_file
    from vfiokit.notebook.panel import panel
    from vfiokit.recording import Recording
    from vfiokit.reports import report
    from vfiokit.side import Side
    from vfiokit.trace import Tracer
    from vfiokit.vmm.outgoing import Parameters

__all__ = (  # noqa: RUF022 - from most to least important
    "open",
    "debug",
    "panel",
    "migrate",
    "replay",
    "report",
    "save_file",
    "load_file",
    "Recording",
    "Parameters",
    "Report",
    "Side",
    "Tracer",
    "VfioError",
)

_PLACES = {
    "open": ("vfiokit.addresses", "open_device"),
    "debug": ("vfiokit.debugger", "debug"),
    "panel": ("vfiokit.notebook.panel", "panel"),
    "replay": ("vfiokit.debugger", "replay"),
    "report": ("vfiokit.reports", "report"),
    "Recording": ("vfiokit.recording", "Recording"),
    "migrate": ("vfiokit.migration", "migrate"),
    "save_file": ("vfiokit.migration", "save_file"),
    "load_file": ("vfiokit.migration", "load_file"),
    "Report": ("vfiokit.migration", "Report"),
    "Side": ("vfiokit.side", "Side"),
    "Tracer": ("vfiokit.trace", "Tracer"),
    "Parameters": ("vfiokit.vmm.outgoing", "Parameters"),
}


def __getattr__(name: str) -> Any:
    """Import what is asked for, once (PEP 562)."""
    try:
        module, attribute = _PLACES[name]
    except KeyError:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}") from None
    value = getattr(import_module(module), attribute)
    globals()[name] = value
    return value


def load_ipython_extension(shell: Any) -> None:
    """Carry out ``%load_ext vfiokit``: pictures in cells, ``%vfio``, ``%%vfio_record``."""
    import_module("vfiokit.notebook.extension").load_ipython_extension(shell)


def __dir__() -> list[str]:
    return sorted({*globals(), *_PLACES})
