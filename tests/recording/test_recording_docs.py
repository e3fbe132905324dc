"""docs/recording.md: its tables are those of the code, its queries run over a fleet."""

import re
from pathlib import Path

import pytest

from vfiokit import accesses as a
from vfiokit.errors import AccessError
from vfiokit.recording import TABLES, Recording

PAGE = Path(__file__).parents[2] / "docs" / "recording.md"


def tables():
    """The page's tables, from the declarations."""
    lines = []
    for name, columns in TABLES.items():
        lines += [f"### {name}", "| column | type | unit | what |", "| --- | --- | --- | --- |"]
        for column in columns:
            kind = TYPES[column.type] + ("?" if column.nullable else "")
            lines.append(f"| `{column.name}` | {kind} | {column.unit} | {column.about} |")
        lines.append("")
    return "\n".join(lines)


TYPES = {
    "u64": "uint64",
    "i64": "int64",
    "i32": "int32",
    "f64": "double",
    "name": "name",
    "text": "string",
    "bytes": "binary",
    "u64s": "list of uint64",
    "texts": "list of string",
    "sizes": "list of (name, bytes uint64)",
}


def test_the_page_has_every_column():
    held = re.search(r"<!-- tables.*?-->\n(.*?)<!-- end of tables -->", PAGE.read_text(), re.DOTALL)
    assert held.group(1) == tables()


@pytest.fixture(scope="module")
def fleet(tmp_path_factory):
    """Three recordings with different names in them, of which one has no error and one no data."""
    folder = tmp_path_factory.mktemp("fleet")
    for number in range(3):
        with Recording(folder / f"run{number}.vfk", with_data=number == 1) as recording:
            for at in range(20):
                read = a.Read(f"dev{number}", 9, 0, 8, f"register{at % 3}" if number else "pending_bytes")
                error = AccessError(read, 5) if number == 1 and at == 7 else None
                recording.access("source", read, at, error, at, (at + 1) * (10 + number))
            recording.access("source", a.Reset(f"dev{number}"), None, None, 0, 1 << 40)
    return folder


EXPECTED = [
    ("register1", 14, 240, 1),
    ("register0", 14, 228, 0),
    ("pending_bytes", 20, 200, 0),
    ("register2", 12, 216, 0),
]


@pytest.mark.parametrize("tool", ["duckdb", "pandas", "pyarrow"])
def test_a_query_over_a_fleet(fleet, tool):
    pytest.importorskip(tool)
    (code,) = re.findall(rf"```python {tool}\n(.*?)```", PAGE.read_text(), re.DOTALL)
    space = {"fleet": str(fleet)}
    exec(code, space)
    assert space["slowest"] == sorted(EXPECTED, key=lambda row: (-row[2], row[0]))


def test_schemas_are_the_same_over_a_fleet(fleet):
    import pyarrow.dataset as ds
    import pyarrow.parquet as pq

    for table in TABLES:
        files = sorted(fleet.glob(f"*/{table}.parquet"))
        assert len(files) == 3
        schemas = [pq.read_schema(file) for file in files]
        assert all(schema.equals(schemas[0]) for schema in schemas)
        rows = sum(pq.read_metadata(file).num_rows for file in files)
        assert ds.dataset([str(file) for file in files]).count_rows() == rows
