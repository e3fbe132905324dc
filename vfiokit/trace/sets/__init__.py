"""The event sets that come with the package.

``v5``
    the 17 events of the 2019 posting and the older ones that appear in the same flows; the two formats
    that could not be compiled have the smallest correction (v5 spec 8)
``v5-as-posted``
    the same with the two formats as posted, for the lint to find
"""

from __future__ import annotations

from functools import cache
from importlib import resources

from vfiokit.errors import TraceError
from vfiokit.trace.grammar import EventSet, parse

__all__ = ("load", "names")

_SUFFIX = ".trace-events"


def names() -> tuple[str, ...]:
    """Return the names of the sets, sorted."""
    found = (item.name for item in resources.files(__package__).iterdir())
    return tuple(sorted(name.removesuffix(_SUFFIX) for name in found if name.endswith(_SUFFIX)))


@cache
def load(name: str) -> EventSet:
    """Return a set.

    :raises TraceError: there is none of this name
    """
    if name not in names():
        raise TraceError(f"no event set {name!r}", hint=" or ".join(names()))
    text = resources.files(__package__).joinpath(name + _SUFFIX).read_text("utf-8")
    return parse(text, name + _SUFFIX)
