"""A report read by Python: its elements, and what is in its blocks."""

import base64
import json
import zlib
from html.parser import HTMLParser

EVIL = "<script>alert(1)</script>"
"""What a hostile device calls itself."""


class Page(HTMLParser):
    """:ivar elements: (name, attributes) of all; texts: what is shown; blocks: packed data by name"""

    def __init__(self, html):
        super().__init__()
        self.elements, self.texts, self.blocks, self.scripts = [], [], {}, []
        self._inside = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag in ("script", "style"):
            self._inside.append(dict(attrs))

    def handle_endtag(self, tag):
        if tag in ("script", "style"):
            self._inside.pop()

    def handle_data(self, data):
        if not self._inside:
            self.texts.append(data)
        elif self._inside[-1].get("type") == "application/x-vfiokit":
            self.blocks[self._inside[-1]["id"]] = data
        else:
            self.scripts.append(data)

    @property
    def text(self):
        return "".join(self.texts)

    def octets(self, name):
        return zlib.decompress(base64.b64decode(self.blocks[name]))

    def json(self, name):
        return json.loads(self.octets(name))
