"""The FastAPI application of the repository's README."""

from __future__ import annotations

import os
import re
import secrets
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

# `tests/run.sh` sets the variable, because it copies the tests to another folder.
README = Path(os.environ.get("SESSILE_README") or Path(__file__).parents[3] / "README.md")


@pytest.mark.skipif(not README.is_file(), reason="the README is in the repository only")
def test_a_user_logs_in_and_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_KEY", secrets.token_urlsafe(32))
    [program] = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), flags=re.DOTALL)
    names: dict[str, Any] = {"__name__": "front_page"}
    exec(compile(program, "README.md", "exec"), names)

    client = TestClient(names["app"])
    assert client.get("/").status_code == 401
    assert client.post("/login", data={"user": "ada", "password": "wrong"}).status_code == 401
    assert client.post("/login", data={"user": "ada", "password": "correct horse"}).status_code == 200
    assert client.get("/").json() == "Hello, ada. This is visit 1."
    assert client.get("/").json() == "Hello, ada. This is visit 2."
    client.post("/logout")
    assert client.get("/").status_code == 401
