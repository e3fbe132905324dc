"""A picture as a piece of a page: for notebooks' outputs, in JupyterLab, Voilà and what nbconvert makes.

BokehJS is not in it: ``%load_ext vfiokit`` puts it into the page once, and the piece waits for it. Where
scripts are not run, as in a notebook that is not trusted, words stand in its place.
"""

from __future__ import annotations

import json

from bokeh.embed import json_item
from bokeh.models.ui import UIElement
from bokeh.util.serialization import make_globally_unique_id

from vfiokit.view.theme import Theme

__all__ = ("piece_of_page",)

_WORDS = "The picture needs BokehJS: run %load_ext vfiokit, then this cell again (in a trusted notebook)."

# Once a page may hold the same output twice (JupyterLab's "new view for output"): beside its own script is
# the right place, and by its id where scripts are moved.
_PIECE = """<div id="{place}" style="{style}">{words}</div>
<script>
(() => {{
  const item = {item}
  const beside = document.currentScript?.previousElementSibling
  const last = Date.now() + 10000
  const draw = () => {{
    const place = beside?.id === item.target_id ? beside : document.getElementById(item.target_id)
    const bokeh = window.Bokeh?.[item.version] ?? window.Bokeh
    if (place && bokeh?.embed) {{
      place.replaceChildren()
      bokeh.embed.embed_item(item, place).catch((error) => {{
        place.textContent = `The picture could not be drawn: ${{error.message}}. Run %load_ext vfiokit.`
      }})
    }} else if (Date.now() < last) {{
      setTimeout(draw, 50)
    }}
  }}
  draw()
}})()
</script>"""


def piece_of_page(root: UIElement, look: Theme) -> str:
    """Return a ``div`` and the script that draws *root* in it, as it is now.

    Each call gives another place, so a page may show the same models twice.
    """
    place = make_globally_unique_id()
    item = json.dumps(json_item(root, place))
    # In JavaScript's strings `\\u003c` is `<`; as HTML it begins nothing.
    item = item.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")
    style = f"background: {look.background}; color: {look.text}; font-family: {look.font}; padding: 4px"
    return _PIECE.format(place=place, style=style, words=_WORDS, item=item)
