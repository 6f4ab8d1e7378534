"""The recipes page contains exactly the programs that the tests run."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent
PAGE = (PACKAGE / "docs/recipes.md").read_text(encoding="utf-8")
PROGRAMS = sorted((PACKAGE / "recipes").glob("*_app.py"))


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.stem)
def test_each_program_is_on_page_with_test_and_pinned_versions(program: Path) -> None:
    assert f"```python\n{program.read_text(encoding='utf-8')}```\n" in PAGE
    name = program.stem.removesuffix("_app")
    assert program.with_name(f"test_{name}.py").is_file()
    requirements = program.with_name(f"requirements-{name}.txt").read_text().splitlines()
    assert requirements and all("==" in line for line in requirements)


def test_page_has_no_other_programs() -> None:
    assert PROGRAMS
    assert len(re.findall("^```python$", PAGE, re.MULTILINE)) == len(PROGRAMS)
