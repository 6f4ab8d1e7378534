"""Runs Starlette's own tests of its session middleware against sessile's.

The argument is a version, or ``newest``.

The tests are those of the source distribution, and run with its Starlette. Two things are
substituted: the import of the middleware, and the secret ``example``, which is rejected by design.
A failing test must be in ``starlette_differences.toml``, and a test in that list must fail.

The environment needs ``packaging``, ``pytest``, and the requirements of the suite of that version.
"""

from __future__ import annotations

import re
import secrets
import subprocess
import sys
import tarfile
import tempfile
import tomllib
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from pathlib import Path

from packaging.specifiers import SpecifierSet

SUITE = Path("tests/middleware/test_session.py")
DIFFERENCES = Path(__file__).with_name("starlette_differences.toml")
SUBSTITUTIONS = {
    r"^from starlette\.middleware\.sessions import": "from sessile.starlette import",
    r'secret_key="example"': f'secret_key="{secrets.token_urlsafe(32)}"',
}


def main(version: str) -> int:
    with tempfile.TemporaryDirectory() as folder:
        source = unpacked(version, Path(folder))
        if source is None:
            print(f"the source distribution of Starlette ({version}) cannot be downloaded")
            return SKIP
        version = source.name.rpartition("-")[2]
        substitute(source / SUITE)
        results = dict(run(source))
    expected = expected_differences(version)
    problems = list(compared(results, expected))
    print(*problems, sep="\n")
    print(f"starlette {version}: {len(results)} tests, {len(expected)} expected differences, {len(problems)} problems")
    return 1 if problems else 0


def unpacked(version: str, folder: Path) -> Path | None:
    """Downloads the source distribution. Returns its folder, or ``None`` without a network."""
    wanted = "starlette" if version == "newest" else f"starlette=={version}"
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", "starlette"]
    if subprocess.run([*command, "--dest", folder, wanted]).returncode != 0:
        return None
    [archive] = folder.glob("starlette-*.tar.gz")
    with tarfile.open(archive) as tar:
        tar.extractall(folder, filter="data")
    return folder / archive.name.removesuffix(".tar.gz")


def substitute(suite: Path) -> None:
    text = suite.read_text()
    for pattern, replacement in SUBSTITUTIONS.items():
        text, count = re.subn(pattern, replacement, text, flags=re.MULTILINE)
        if count == 0:
            raise ValueError(f"{suite.name} does not contain {pattern}")
    suite.write_text(text)


def run(source: Path) -> Iterator[tuple[str, bool]]:
    """Runs the suite in the folder of its source.

    Yields the name of each test, and true if it passed.
    """
    report = source / "report.xml"
    # The folder of the source comes first in `sys.path`, so that its Starlette is imported.
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--junitxml={report}"]
    # An older Starlette uses functions that newer versions of its dependencies deprecate.
    subprocess.run([*command, "-W", "ignore::DeprecationWarning", SUITE], cwd=source)
    if not report.exists():
        return
    for case in ElementTree.parse(report).iter("testcase"):
        yield case.attrib["name"], not list(case)


def expected_differences(version: str) -> set[str]:
    listed = tomllib.loads(DIFFERENCES.read_text())["difference"]
    return {each["test"] for each in listed if version in SpecifierSet(each["versions"])}


def compared(results: dict[str, bool], expected: set[str]) -> Iterator[str]:
    """Yields unlisted failures, and listed tests that pass or do not exist."""
    for name, has_passed in results.items():
        if not has_passed and without_backend(name) not in expected:
            yield f"{name} failed, and is not in {DIFFERENCES.name}"
        if has_passed and without_backend(name) in expected:
            yield f"{name} passed, and is in {DIFFERENCES.name}"
    for name in expected - {without_backend(name) for name in results}:
        yield f"{name} is in {DIFFERENCES.name}, and not in the suite"
    if not results:
        yield "no test ran"


def without_backend(name: str) -> str:
    """Returns ``test_a[True]`` for ``test_a[asyncio-True]``: the name without the event loop."""
    return re.sub(r"\b(asyncio|trio)\b-?", "", name).replace("[]", "").replace("-]", "]")


SKIP = 77
"""The exit status of a skipped step."""

if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
