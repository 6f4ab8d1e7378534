"""The warning about several worker processes, with the servers that start them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

APPLICATION = """
import os, pathlib, warnings
from sessile.starlette import SessionMiddleware

def build():
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        SessionMiddleware(None, secret_key="b1mVIDAzC1D1KMQv5lTSk8dPcCh8lIbbJx3zcwOWkk4", memory=4 << 20)
    seen = sum("several worker processes do not share sessions" in str(warning.message) for warning in caught)
    place = pathlib.Path(os.environ["SEEN"])
    place.with_suffix(".new").write_text(str(seen))
    place.with_suffix(".new").rename(place)

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        build()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})
"""

RUN = """
import uvicorn
if __name__ == "__main__":
    uvicorn.run("application:app", host="127.0.0.1", port=0, log_level="critical", {settings})
"""


def warned(folder: Path, command: list[str], environment: dict[str, str] | None = None) -> int:
    """Starts a server and returns the number of warnings in the application."""
    (folder / "application.py").write_text(APPLICATION)
    seen = folder / "seen"
    clean = {name: value for name, value in os.environ.items() if name not in ("WEB_CONCURRENCY", "GUNICORN_CMD_ARGS")}
    path = os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")])
    server = subprocess.Popen(
        [sys.executable, *command],
        cwd=folder,
        env=clean | {"SEEN": str(seen), "PYTHONPATH": path} | (environment or {}),
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        deadline = time.monotonic() + 30
        while not seen.exists():
            assert server.poll() is None and time.monotonic() < deadline
            time.sleep(0.02)
        return int(seen.read_text())
    finally:
        os.killpg(server.pid, signal.SIGKILL)
        server.wait()


@pytest.mark.parametrize(
    ("settings", "expected"), [("reload=True", 0), ("workers=2", 1), ("workers=1", 0), ("reload=True, workers=2", 0)]
)
def test_uvicorn_started_by_a_program(tmp_path: Path, settings: str, expected: int) -> None:
    (tmp_path / "run.py").write_text(RUN.format(settings=settings))
    assert warned(tmp_path, ["run.py"]) == expected


@pytest.mark.parametrize(("arguments", "expected"), [(["--reload"], 0), (["--workers", "2"], 1), ([], 0)])
def test_uvicorn_started_by_the_command_line(tmp_path: Path, arguments: list[str], expected: int) -> None:
    command = ["-m", "uvicorn", "application:app", "--port", "0", "--log-level", "critical", *arguments]
    assert warned(tmp_path, command) == expected


@pytest.mark.parametrize(
    ("arguments", "configuration", "environment", "expected"),
    [
        ([], "", {}, 0),
        (["-w4"], "", {}, 1),
        (["-w", "2"], "", {}, 1),
        (["--workers=2"], "", {}, 1),
        (["-w1"], "", {"WEB_CONCURRENCY": "2"}, 0),
        ([], "workers = 2", {}, 1),
        ([], "workers = 1", {}, 0),
        ([], "workers = 2\npreload_app = True", {}, 1),
        ([], "", {"WEB_CONCURRENCY": "2"}, 1),
        ([], "", {"GUNICORN_CMD_ARGS": "--workers=2"}, 1),
    ],
)
def test_gunicorn_with_any_configuration(
    tmp_path: Path, arguments: list[str], configuration: str, environment: dict[str, str], expected: int
) -> None:
    (tmp_path / "gunicorn.conf.py").write_text(configuration)
    (tmp_path / "built.py").write_text("import application\napplication.build()\napp = application.app\n")
    assert warned(tmp_path, ["-m", "gunicorn", "built:app", "-b", "127.0.0.1:0", *arguments], environment) == expected
