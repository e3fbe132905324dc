"""The course's notebooks as they lie in git: no outputs, stable, short, and whole."""

import re
from pathlib import Path

import pytest
from course_files import FOLDER, NOTEBOOKS, ROOT, code, prose, read

from vfiokit.course.exercises import CHAPTERS, numbers

EXERCISE = re.compile(r'course\.check\("([\d.]+)"')
LINK = re.compile(r"\]\(([^)#:]+)\)")
each = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def test_there_is_one_for_each_chapter():
    assert [path.stem[:2] for path in NOTEBOOKS] == sorted(CHAPTERS)


@each
def test_nothing_of_a_run_is_in_it(path):
    """`make strip` takes it out again."""
    notebook = read(path)
    assert (notebook.nbformat, notebook.nbformat_minor) == (4, 5)
    assert notebook.metadata == {
        "kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
    }
    for cell in code(notebook):
        assert cell.outputs == []
        assert cell.execution_count is None
    for cell in notebook.cells:
        assert set(cell.metadata) <= {"tags"}


@each
def test_cells_have_names_of_their_own(path):
    """So that a change of one cell is a change of few lines."""
    names = [cell.id for cell in read(path).cells]
    assert len(set(names)) == len(names)
    for name in names:
        assert re.fullmatch(r"[a-z][a-z0-9-]+", name), name


@each
def test_it_begins_with_its_number_its_promise_and_a_picture(path):
    notebook = read(path)
    title, _, promise = notebook.cells[0].source.partition("\n\n")
    assert re.fullmatch(rf"# {int(path.stem[:2])} · .+", title)
    assert promise.startswith("After this you ")
    assert code(notebook)[0].source.startswith("%load_ext vfiokit\n")


@each
def test_its_prose_is_short(path):
    cells = [cell.source for cell in prose(read(path))]
    assert max(len(cell.split()) for cell in cells) <= 150
    assert sum(len(cell.split()) for cell in cells) <= 800


@each
def test_its_exercises_are_two_to_four_and_are_told(path):
    notebook = read(path)
    found = [number for cell in code(notebook) for number in EXERCISE.findall(cell.source)]
    chapter = path.stem[:2]
    assert found == [number for number in numbers() if number.startswith(f"{chapter}.")]
    assert 2 <= len(found) <= 4
    told = "\n".join(cell.source for cell in prose(notebook))
    for number in found:
        assert f"**Exercise {int(chapter)}.{number[3:]}" in told


@pytest.mark.parametrize("path", [*NOTEBOOKS, FOLDER / "README.md"], ids=lambda path: path.stem)
def test_links_lead_somewhere(path):
    texts = [cell.source for cell in prose(read(path))] if path.suffix == ".ipynb" else [path.read_text()]
    links = [target for text in texts for target in LINK.findall(text)]
    assert links
    for target in links:
        assert (path.parent / target).resolve().is_relative_to(ROOT)
        assert (path.parent / target).exists(), target


def test_the_table_of_contents_has_them_all():
    text = (FOLDER / "README.md").read_text()
    for path in NOTEBOOKS:
        assert f"]({path.name})" in text


def test_every_exercise_is_solved_somewhere_in_the_tests():
    solved = "".join(path.read_text() for path in Path(__file__).parent.glob("test_course_*.py"))
    assert [number for number in numbers() if f'"{number}"' not in solved] == []
