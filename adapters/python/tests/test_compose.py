"""The files of `examples/compose`: valid YAML, and consistent with the program that they run."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

FOLDER = Path(__file__).parent.parent / "examples/compose"
DOCKERFILE = (FOLDER / "Dockerfile").read_text(encoding="utf-8")


def services(name: str) -> Any:
    return yaml.safe_load((FOLDER / name).read_text(encoding="utf-8"))["services"]


def test_shop_is_given_the_variables_that_it_reads() -> None:
    shop = services("compose.yaml")["shop"]
    assert shop["environment"] == {"SECRET_KEY": "${SECRET_KEY:?must be set}", "SESSILE_STORE": "redis://store:6379"}
    assert shop["depends_on"] == {"store": {"condition": "service_healthy"}}
    program = (FOLDER.parent / "login.py").read_text(encoding="utf-8")
    assert all(variable in program for variable in shop["environment"])


@pytest.mark.parametrize("name", ["compose.yaml", "compose.valkey.yaml"])
def test_store_evicts_no_session_and_persists(name: str) -> None:
    store = services(name)["store"]
    kind = "valkey" if "valkey" in name else "redis"
    assert re.fullmatch(rf"({kind}/)?{kind}:\d+\.\d+-alpine", store["image"]), "a pinned version"
    program, *options = store["command"].split()
    assert program == f"{kind}-server" and store["healthcheck"]["test"][1] == f"{kind}-cli"
    settings = dict(zip(options[::2], options[1::2], strict=True))
    assert settings == {"--maxmemory": "256mb", "--maxmemory-policy": "noeviction", "--appendonly": "yes"}


def test_variant_replaces_nothing_but_the_store() -> None:
    assert list(services("compose.valkey.yaml")) == ["store"]
    assert set(services("compose.yaml")) == {"shop", "store"}


def test_image_runs_several_workers_of_the_login_example() -> None:
    [command] = re.findall(r"^CMD (.+)$", DOCKERFILE, re.MULTILINE)
    words = json.loads(command)
    assert words[:2] == ["uvicorn", "login:app"] and int(words[words.index("--workers") + 1]) > 1
    shop = services("compose.yaml")["shop"]
    assert shop["ports"] == [f"127.0.0.1:8000:{words[words.index('--port') + 1]}"]
    graceful = int(words[words.index("--timeout-graceful-shutdown") + 1])
    assert graceful + 10 < int(shop["stop_grace_period"].removesuffix("s")), "time for queued sign-outs"


def test_paths_of_the_build_exist() -> None:
    build = services("compose.yaml")["shop"]["build"]
    context = (FOLDER / build["context"]).resolve()
    if not (context / "adapters/python/Cargo.toml").is_file():
        pytest.skip("the sources are in the repository only")
    assert (context / build["dockerfile"]).samefile(FOLDER / "Dockerfile")
    copied = re.findall(r"^COPY (?!--from)(\S+) ", DOCKERFILE, re.MULTILINE)
    assert copied == [".", "adapters/python/examples/login.py"] and all((context / path).exists() for path in copied)
