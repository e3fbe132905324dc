"""An executed notebook as one file that opens offline."""

import json

import pytest
from reports.pages import EVIL, Page

from vfiokit.errors import RecordingError
from vfiokit.reports import export_notebook

# Dependencies of nbconvert warn of their own future; that is not ours to mend.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")
WIDGET = "application/vnd.jupyter.widget-view+json"


def write(path, *outputs):
    cells = [
        {
            "cell_type": "code",
            "id": f"cell{k}",
            "execution_count": 1,
            "metadata": {},
            "source": "figure",
            "outputs": [{"output_type": "display_data", "metadata": {}, "data": data}],
        }
        for k, data in enumerate(outputs)
    ]
    told = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    path.write_text(json.dumps({"cells": cells, "metadata": told, "nbformat": 4, "nbformat_minor": 5}))
    return path


@pytest.fixture
def nbconvert():
    return pytest.importorskip("nbconvert")


def test_nothing_in_it_comes_from_elsewhere(nbconvert, tmp_path):
    html = export_notebook(write(tmp_path / "x.ipynb", {"text/plain": EVIL})).read_text()
    page = Page(html)
    for name, given in page.elements:
        assert not given.get("src", "").startswith("http"), name
        assert name == "a" or not given.get("href", "").startswith("http"), name
    assert EVIL not in html
    assert EVIL in page.text


def test_a_widgets_static_picture_shows_instead_of_the_widget(nbconvert, tmp_path):
    data = {
        WIDGET: {"model_id": "abc", "version_major": 2, "version_minor": 0},
        "text/html": "<b id='still'>a picture</b>",
        "text/plain": "Panel()",
    }
    path = export_notebook(write(tmp_path / "x.ipynb", data), tmp_path / "out.html")
    page = Page(path.read_text())
    assert ("b", {"id": "still"}) in page.elements
    assert "Panel()" not in page.text
    assert path == tmp_path / "out.html"


@pytest.mark.parametrize("text", ["", "{}", '{"cells": 1}', "\udcff"])
def test_what_is_no_notebook_is_refused(nbconvert, tmp_path, text):
    (tmp_path / "x.ipynb").write_text(text, errors="surrogateescape")
    with pytest.raises(RecordingError, match=r"no notebook"):
        export_notebook(tmp_path / "x.ipynb")
    with pytest.raises(RecordingError, match="read the notebook"):
        export_notebook(tmp_path / "none.ipynb")
