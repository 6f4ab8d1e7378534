from __future__ import annotations

import secrets

import pytest

from sessile import SessionCache
from sessile.testing import ManualClock

KEY = secrets.token_urlsafe(32)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def cache(clock: ManualClock) -> SessionCache:
    return SessionCache(secret_key=KEY, memory=4 << 20, clock=clock, events=100)
