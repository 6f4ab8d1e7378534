"""The guide: its Python programs run, and its tables name the package's settings and exceptions."""

from __future__ import annotations

import inspect
import re
import secrets
import subprocess
from pathlib import Path
from typing import Any

import pytest

import sessile
from sessile import _settings
from sessile.starlette import SessionMiddleware

HERE = Path(__file__).parent
# `tests/run.sh` copies the guide next to the tests.
GUIDE = next(
    (path for path in (HERE.parent / "guide", HERE.parents[2] / "docs") if (path / "src/SUMMARY.md").is_file()),
    None,
)

pytestmark = pytest.mark.skipif(GUIDE is None, reason="the guide is in the repository only")


def page(name: str) -> str:
    assert GUIDE is not None
    return (GUIDE / name).read_text(encoding="utf-8")


def programs() -> list[Any]:
    """The Python programs of all pages. Those marked as ``ignore`` are of other packages."""
    if GUIDE is None:
        return []
    found = []
    for path in sorted((GUIDE / "src").glob("*.md")):
        blocks = re.findall(r"^```python\n(.*?)^```$", path.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
        found += [pytest.param(block, id=f"{path.stem}-{at}") for at, block in enumerate(blocks)]
    return found


def rows(text: str, heading: str) -> list[list[str]]:
    """The cells of the tables under a heading, without the header."""
    section = text.split(f"{heading}\n", 1)[1].split("\n## ", 1)[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


@pytest.mark.parametrize("program", programs())
def test_programs_run(program: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("SECRET_KEY", "OLD_SECRET_KEY"):
        monkeypatch.setenv(variable, secrets.token_urlsafe(32))
    # Lines that the book hides.
    shown = re.sub(r"^#~ ?", "", program, flags=re.MULTILINE)
    exec(compile(shown, "guide", "exec"), {"__name__": "guide"})


def blocks(language: str) -> list[str]:
    """The blocks of code of one language in all pages."""
    assert GUIDE is not None
    pages = [path.read_text(encoding="utf-8") for path in sorted((GUIDE / "src").glob("*.md"))]
    return [block for text in pages for block in re.findall(rf"^```{language}\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)]


def test_toml_is_valid() -> None:
    tomllib = pytest.importorskip("tomllib", reason="Python 3.11 or newer")
    for text in [page("book.toml"), *blocks("toml")]:
        assert tomllib.loads(text)


def test_shell_commands_are_valid() -> None:
    commands = blocks("sh")
    assert commands
    for text in commands:
        subprocess.run(["bash", "-n", "-c", text], check=True, timeout=10)


def test_there_are_programs() -> None:
    assert len(programs()) >= 7


def check_defaults(table: list[list[str]], signature: inspect.Signature, without: set[str]) -> None:
    listed = {name: row for row in table for name in re.findall(r"`(\w+)`", row[0])}
    parameters = {name: parameter.default for name, parameter in signature.parameters.items() if name not in without}
    assert set(listed) == set(parameters)
    for name, default in parameters.items():
        stated = listed[name][1]
        if re.fullmatch(r"`[^`]*`", stated):
            assert stated.strip("`").replace('"', "'") == repr(default), name


def test_settings_of_the_middleware() -> None:
    table = rows(page("src/configuration.md"), "## Python: `SessionMiddleware`")
    check_defaults(table, inspect.signature(SessionMiddleware), {"app"})
    keys = next(row[1] for row in table if row[0] == "`identity_keys`")
    assert tuple(re.findall(r"`(\w+)`", keys)) == _settings.IDENTITY_KEYS


def test_settings_of_the_cache() -> None:
    table = rows(page("src/configuration.md"), "## Python: `SessionCache`")
    check_defaults(table, inspect.signature(sessile.SessionCache), set())


def test_settings_of_the_store() -> None:
    table = rows(page("src/configuration.md"), "## Python: `RedisStore`")
    check_defaults(table, inspect.signature(sessile.RedisStore), set())


def test_exceptions() -> None:
    listed = {row[0].strip("`") for row in rows(page("errors.md"), "## Python")}
    exceptions = {
        name for name in sessile.__all__ if inspect.isclass(item := getattr(sessile, name)) and issubclass(item, Exception)
    }
    assert exceptions and exceptions <= listed
