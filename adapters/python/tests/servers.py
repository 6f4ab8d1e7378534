"""Servers of both kinds, Redis and Valkey, that tests choose from."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from types import TracebackType

import pytest
import redis
from redis_server import RedisServer

KINDS = os.environ.get("SESSILE_TEST_SERVERS", "redis,valkey").split(",")


class Server(RedisServer):
    """A server of a kind, in a folder of its own. It keeps its data over a kill if it `persists`."""

    def __init__(self, kind: str, persists: bool = False) -> None:
        program = shutil.which(f"{kind}-server")
        if program is None:
            pytest.skip(f"{kind}-server is not installed")
        self._temporary = tempfile.TemporaryDirectory()
        # The later options count.
        options = ["--appendonly", "yes", "--appendfsync", "always"] if persists else []
        super().__init__(Path(self._temporary.name), program, *options)

    def __enter__(self) -> Server:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        super().__exit__(kind, error, trace)
        self._temporary.cleanup()

    def client(self) -> redis.Redis:
        return redis.Redis(port=self.port)
