"""Checks that the wheel and the source distribution contain the README and the licences.

    python check_distributions.py FOLDER
"""

from __future__ import annotations

import email
import re
import sys
import tarfile
import zipfile
from pathlib import Path

PACKAGE = Path(__file__).parent.parent
LICENSES = ("LICENSE-APACHE", "LICENSE-MIT", "LICENSE-third-party")
"""The last one is the notice of the client of Redis, which the wheel contains."""


def contents(path: Path) -> dict[str, bytes]:
    """Returns the files of a wheel or a source distribution, by their path."""
    if path.suffix == ".whl":
        with zipfile.ZipFile(path) as wheel:
            return {name: wheel.read(name) for name in wheel.namelist()}
    with tarfile.open(path) as sdist:
        files = [(member.name, sdist.extractfile(member)) for member in sdist.getmembers()]
        return {name: file.read() for name, file in files if file is not None}


def check(files: dict[str, bytes]) -> None:
    [metadata] = [text for name, text in files.items() if re.search(r"^[^/]+/(PKG-INFO|METADATA)$", name)]
    fields = email.message_from_bytes(metadata)
    assert fields["Description-Content-Type"].startswith("text/markdown")
    assert sorted(fields.get_all("License-File", [])) == sorted(LICENSES)
    description = fields.get_payload(decode=True)
    assert isinstance(description, bytes)
    assert description.decode().strip() == (PACKAGE / "README.md").read_text(encoding="utf-8").strip()
    # PyPI resolves no relative links.
    assert not re.search(rb"\]\((?!https://)", description)
    for name in LICENSES:
        text = (PACKAGE / name).read_bytes()
        assert any(path.endswith(f"/{name}") and found == text for path, found in files.items()), name


if __name__ == "__main__":
    paths = sorted(Path(sys.argv[1]).iterdir())
    assert sorted(path.suffix for path in paths) == [".gz", ".whl"]
    for path in paths:
        check(contents(path))
    print(f"{len(paths)} distributions have the README and the licences")
