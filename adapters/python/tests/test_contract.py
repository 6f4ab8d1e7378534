"""Runs the contract suite of `adapters/contract` against a FastAPI application."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

APPLICATION = Path(__file__).parent / "contract_app.py"
DRIVER = os.environ.get("SESSILE_CONTRACT", "")
# The application's secret, and the number of writes of each of two writers.
SETTINGS = {"SESSILE_KEYS": "c2Vzc2lsZSdzIGNvbnRyYWN0IHN1aXRlLCBvcGVuIHRvIGFsbCAwMQ", "SESSILE_CONTRACT_ROUNDS": "1000"}


@pytest.mark.skipif(not DRIVER, reason="SESSILE_CONTRACT names no driver: cargo build -p sessile-contract")
def test_contract_suite_passes() -> None:
    environment = os.environ | SETTINGS
    command = [sys.executable, str(APPLICATION)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as server:
        assert server.stdout is not None
        try:
            url = f"http://127.0.0.1:{int(server.stdout.readline())}"
            done = subprocess.run([DRIVER, url], capture_output=True, text=True, env=environment, timeout=300)
        finally:
            server.terminate()
    assert done.returncode == 0, "\n" + (done.stdout or done.stderr)
    skipped = [line.rpartition(": ")[2] for line in done.stdout.splitlines() if line.startswith("skip ")]
    assert skipped == [
        "no feature keep",
        "no feature cancels",
        "no feature keep",
        "no feature guard",
        "no feature increment",
        "no feature cancels",
    ]
