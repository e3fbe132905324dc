"""Ask the C compiler what the installed kernel headers say."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Sequence

import pytest

CEvaluator = Callable[..., "dict[str, int]"]


@pytest.fixture(scope="session")
def evaluate_c(tmp_path_factory: pytest.TempPathFactory) -> CEvaluator:
    """Return a function from C integer expressions to their values.

    With *optional*, an expression (then a macro's name) that the header does not define is left out.
    """
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler (cc) to hold constants against the installed headers")

    def evaluate(header: str, expressions: Sequence[str], *, optional: bool = False) -> dict[str, int]:
        scratch = tmp_path_factory.mktemp("c")
        preprocess = [compiler, "-E", "-x", "c", "-", "-o", "/dev/null"]
        if subprocess.run(
            preprocess, input=f"#include <{header}>", text=True, stderr=subprocess.DEVNULL
        ).returncode:
            pytest.skip(f"<{header}> is not installed")
        lines = [f"#include <{header}>", "#include <stddef.h>", "#include <stdio.h>", "int main(void) {"]
        for number, expression in enumerate(expressions):
            line = f'printf("{number} %llu\\n", (unsigned long long)({expression}));'
            lines += [f"#ifdef {expression}", line, "#endif"] if optional else [line]
        source = scratch / "values.c"
        source.write_text("\n".join([*lines, "return 0; }", ""]))
        built = subprocess.run(
            [compiler, "-w", "-o", scratch / "values", source], capture_output=True, text=True
        )
        assert built.returncode == 0, f"not in <{header}>, or not as we have it:\n{built.stderr}"
        out = subprocess.run([scratch / "values"], capture_output=True, text=True, check=True).stdout
        pairs = (line.split() for line in out.splitlines())
        return {expressions[int(number)]: int(value) for number, value in pairs}

    return evaluate
