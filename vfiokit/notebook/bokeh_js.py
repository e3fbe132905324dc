"""BokehJS for a page, from the bokeh that is installed: no page asks another machine for it.

A page evaluates it once. Live pictures (`BokehPane`) ask the kernel for it when it is missing. Static ones
have nobody to ask: `script_html` is for the output of one cell, which stays with the saved notebook and with
what nbconvert makes of it.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import bokeh
from bokeh.resources import Resources

if TYPE_CHECKING:
    from bokeh.resources import Component

__all__ = ("MODULES", "VERSION", "script_html", "source")

VERSION = bokeh.__version__
# Figures; Div, which bokeh counts as a widget; and WebGL for the timeline. No tables, no MathJax.
_COMPONENTS: tuple[Component, ...] = ("bokeh", "bokeh-widgets", "bokeh-gl")
MODULES = ("models/widgets/main", "models/glyphs/webgl/main")
"""What `require` of a complete BokehJS knows besides the first component's."""

_SCRIPT = """<script>
(() => {{
  try {{
    const here = window.Bokeh[{version!r}]
    for (const name of {modules!r}) here.require(name)
    return true
  }} catch {{ return false }}
}})() || (function() {{
{source}
}}).call(window)
</script>"""


@cache
def source() -> str:
    """Return BokehJS as the text of a script, 1.8 MB; evaluated, it is ``window.Bokeh[VERSION]``."""
    return "\n".join(Resources(mode="inline", components=list(_COMPONENTS), log_level="warn").js_raw)


def script_html() -> str:
    """Return a script element that loads BokehJS where it is not there yet, in this version."""
    # In JavaScript's strings `<\/` is `</`; as HTML it does not end the element.
    text = source().replace("</script", "<\\/script").replace("<!--", "<\\!--")
    return _SCRIPT.format(version=VERSION, modules=list(MODULES), source=text)
