"""The README's lines for four workers, run as written in a bare virtual environment."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from http.cookiejar import CookieJar
from pathlib import Path

import pytest
import redis
from redis_server import free_port
from test_front_page import README

WHEEL = os.environ.get("SESSILE_WHEEL", "")
# A build backend that returns the wheel, in place of the checkout, which pip would compile.
BACKEND = """
import pathlib, shutil
def build_wheel(folder, settings=None, metadata=None):
    wheel = pathlib.Path(WHEEL)
    shutil.copy(wheel, folder)
    return wheel.name
"""
PROJECT = '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'

pytestmark = [pytest.mark.newest, pytest.mark.skipif(not README.is_file(), reason="the README is in the repository only")]


def commands(text: str) -> str:
    """Returns the block of shell commands that starts the workers."""
    [block] = [block for block in re.findall(r"```sh\n(.*?)```", text, re.DOTALL) if "--workers 4" in block]
    return block


class Visitor:
    """A browser with its own cookies. It opens a connection for each request."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(CookieJar()))

    def get(self, path: str, **form: str) -> tuple[int, object]:
        data = urllib.parse.urlencode(form).encode() if form else None
        try:
            with self.opener.open(self.url + path, data, timeout=30) as response:
                return response.status, json.load(response)
        except urllib.error.HTTPError as error:
            with error:
                return error.code, None

    def until_ready(self, server: subprocess.Popen[bytes], seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while True:
            with contextlib.suppress(OSError):
                self.get("/")
                return
            assert server.poll() is None and time.monotonic() < deadline, "the workers do not start"
            time.sleep(0.05)


@contextlib.contextmanager
def running(command: str, folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Runs commands in a shell without the environment of the tests, and ends what they started."""
    clean = {"PATH": f"{Path(sys.executable).resolve().parent}:/usr/local/bin:/usr/bin:/bin", "HOME": str(folder)}
    with subprocess.Popen(["bash", "-e", "-c", command], cwd=folder, env=clean, start_new_session=True) as shell:
        try:
            yield shell
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(shell.pid, signal.SIGTERM)
                shell.wait(30)


def test_both_readmes_have_the_same_five_lines() -> None:
    block = commands(README.read_text(encoding="utf-8"))
    assert len(block.splitlines()) == 5
    package = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")
    assert commands(package) == block


@pytest.mark.skipif(not WHEEL, reason="SESSILE_WHEEL names no wheel")
@pytest.mark.skipif(not shutil.which("redis-server"), reason="redis-server is not installed")
def test_four_workers_run_as_the_readme_says(tmp_path: Path) -> None:
    site, checkout = tmp_path / "site", tmp_path / "sessile/adapters/python"
    site.mkdir()
    checkout.mkdir(parents=True)
    (checkout / "backend.py").write_text(f"WHEEL = {WHEEL!r}\n{BACKEND}")
    (checkout / "pyproject.toml").write_text(PROJECT)
    readme = README.read_text(encoding="utf-8")
    [program] = re.findall(r"```python\n(.*?)```", readme, re.DOTALL)
    (site / "main.py").write_text(program)
    # Ports of other servers on this machine may be those of the README.
    store, port = free_port(), free_port()
    lines = commands(readme).replace("6379", str(store)).replace("--workers 4", f"--workers 4 --port {port}")
    try:
        with running(lines, site) as server:
            visitor = Visitor(f"http://127.0.0.1:{port}")
            visitor.until_ready(server, 240)
            assert visitor.get("/")[0] == 401
            assert visitor.get("/login", user="ada", password="correct horse")[0] == 200
            for _ in range(20):
                status, greeting = visitor.get("/")
                assert status == 200 and str(greeting).startswith("Hello, ada. This is visit ")
            assert visitor.get("/logout", none="")[0] == 200
            assert visitor.get("/")[0] == 401
    finally:
        with contextlib.suppress(redis.ConnectionError), redis.Redis(port=store) as client:
            client.shutdown(nosave=True)
