"""`vfiokit.report`: one HTML file that opens from disk with the network off."""

from __future__ import annotations

import base64
from functools import cache
from pathlib import Path

import jinja2
from bokeh.document import Document
from bokeh.embed.bundle import bundle_for_objs_and_resources
from bokeh.embed.util import standalone_docs_json_and_render_items
from bokeh.models import Range1d
from bokeh.resources import Resources

from vfiokit.recording import Recording
from vfiokit.reports.blocks import block, json_block
from vfiokit.reports.embedded import BLOCK, zipped
from vfiokit.reports.events import event_blocks
from vfiokit.reports.moments import MOST, bake, key_moments
from vfiokit.reports.summary import environment, facts, subject
from vfiokit.reports.verdicts import verdicts
from vfiokit.reports.writing import write_page
from vfiokit.version import __version__
from vfiokit.view import Picture, convergence, dirty, inspector, regions, states, timeline
from vfiokit.view.link import Link
from vfiokit.view.picture import last_ns, origin_ns
from vfiokit.view.theme import Theme, people_bytes, plain
from vfiokit.view.theme import theme as named

__all__ = ("report",)

_HERE = Path(__file__).parent
_EMBEDDED = 4 << 20  # bytes of a zip that is put into the report without being asked to
_MARKS = 8_000  # of the timeline: many more make the page slow to open
_SCRIPTS = ("blocks.js", "formats.js", "event_store.js", "event_table.js", "moments.js", "page.js")


def report(
    recording: Recording | Path | str,
    path: Path | str | None = None,
    *,
    title: str | None = None,
    theme: str | Theme = "light",
    embed: bool | None = None,
    moments: int = MOST,
) -> Path:
    """Write the report of a recording and return where; one that is there is replaced.

    :param recording: one, live or loaded, or a .vfk folder
    :param path: the file; if not given the recording's name with ``.html``, or ``report.html`` here
    :param title: of the page; told from the recording if not given
    :param theme: "light" or "dark"
    :param embed: put the recording into the file, or (False) write it beside as a .vfk folder; by its size
        if not given: up to 4 MiB go into the file
    :param moments: most moments that can be gone back to
    :raises RecordingError: the recording cannot be read, or the file not be written
    :raises AddressError: there is no such theme
    """
    look = named(theme)
    told = recording if isinstance(recording, Recording) else Recording.load(recording)
    target = Path(path) if path is not None else _default_path(told)
    archive = zipped(told)
    inside = len(archive) <= _EMBEDDED if embed is None else embed
    beside = None if inside else target.with_suffix(".vfk")
    html = _page(told, look, title, moments, archive if inside else None, target)
    if beside is not None and (told.path is None or told.path.resolve() != beside.resolve()):
        told.save(beside)
    return write_page(target, html)


def _default_path(recording: Recording) -> Path:
    return recording.path.with_suffix(".html") if recording.path is not None else Path("report.html")


def _page(
    recording: Recording,
    look: Theme,
    title: str | None,
    moments: int,
    archive: bytes | None,
    target: Path,
) -> str:
    document = Document()
    pictures = _pictures(recording, look)
    with document.models.freeze():  # their models are looked up once, not at each root
        for picture in pictures.values():
            document.add_root(picture.root)
    chosen = key_moments(recording, moments)
    baked = bake(recording, document, list(pictures.values()), chosen)
    docs, items = standalone_docs_json_and_render_items(document)
    item = items[0].to_json()
    bundle = bundle_for_objs_and_resources([document], Resources(mode="inline"))
    about = subject(recording)
    return _template().render(
        title=plain(title if title is not None else f"{about}: migration report"),
        subject=plain(about),
        look=look,
        facts=facts(recording),
        verdicts=verdicts(recording),
        environment=environment(recording),
        version=__version__,
        moments=len(chosen),
        events=len(recording.events),
        elements={name: item["roots"][picture.root.id] for name, picture in pictures.items()},
        css=_static("report.css"),
        scripts=[_static(name) for name in _SCRIPTS],
        blocks=block("vfiokit-bokeh", "\n".join(bundle.js_raw).encode())
        + json_block("vfiokit-document", {"docs": docs, "items": [item]})
        + baked
        + event_blocks(recording),
        archive=base64.b64encode(archive).decode("ascii") if archive is not None else None,
        archive_id=BLOCK,
        archive_size=len(archive) if archive is not None else 0,
        replays="source_addresses" in recording.metadata,
        file=target.name,
        archive_name=f"{target.stem}.vfk.zip",
        beside=plain(target.with_suffix(".vfk").name) if archive is None else None,
    )


def _pictures(recording: Recording, look: Theme) -> dict[str, Picture]:
    """Return the pictures of one page: one moment, one time axis."""
    link = Link()
    length = last_ns(recording) - origin_ns(recording) or 1
    time = Range1d(start=-0.02 * length, end=1.02 * length)
    return {
        "convergence": convergence(recording, theme=look, x_range=time, link=link),
        "states": states(recording, theme=look, x_range=time, link=link),
        "timeline": timeline(recording, theme=look, x_range=time, link=link, marks=_MARKS),
        "regions": regions(recording, theme=look, link=link),
        "dirty": dirty(recording, theme=look),
        "inspector": inspector(recording, theme=look, link=link),
    }


@cache
def _template() -> jinja2.Template:
    made = jinja2.Environment(loader=jinja2.FileSystemLoader(_HERE / "templates"), autoescape=True)
    made.filters |= {"plain": plain, "people": people_bytes}
    return made.get_template("report.html.j2")


@cache
def _static(name: str) -> str:
    return (_HERE / "static" / name).read_text("utf-8")
