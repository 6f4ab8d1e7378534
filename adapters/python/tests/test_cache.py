"""The methods of `SessionCache`, with bytes as data."""

from __future__ import annotations

import threading

import pytest
from conftest import KEY, fill

import sessile
from sessile import Conflict, Full, Gone, SessionCache, SessionError, TooLarge
from sessile.testing import ManualClock


def test_created_session_is_opened_by_its_cookie(cache: SessionCache) -> None:
    issued = cache.create(b"a cart")
    for header in (f"a=1; session={issued.token}; b=2", f"session={issued.token}".encode()):
        record = cache.open(header)
        assert record is not None
        assert (record.id, record.version, record.data) == (issued.id, issued.version, b"a cart")
    record = cache.open_token(issued.token)
    assert record is not None and record.data == b"a cart"
    assert cache.load(issued.id).data == b"a cart"  # type: ignore[union-attr]
    assert cache.open("other=1") is None and cache.open(b"\xff=\x00;;session") is None


def test_save_of_old_version_is_a_conflict(cache: SessionCache) -> None:
    issued = cache.create(b"1")
    version = cache.save(issued.id, issued.version, b"2")
    with pytest.raises(Conflict, match="load it again"):
        cache.save(issued.id, issued.version, b"3")
    assert cache.save(issued.id, version, b"3") > version


# LIFE-1: docs/security-checklist.md
def test_rotation_and_sign_in_give_new_ids(cache: SessionCache) -> None:
    issued = cache.create(b"data")
    rotated = cache.rotate(issued.id)
    assert cache.load(issued.id) is None
    signed_in = cache.sign_in(rotated.id, "ada", label="Firefox", assurance_level=2)
    assert cache.load(rotated.id) is None
    record = cache.load(signed_in.id)
    assert record is not None
    assert (record.is_authenticated, record.assurance_level, record.data) == (True, 2, b"data")
    with pytest.raises(Gone):
        cache.save(issued.id, issued.version, b"")


def test_old_id_is_accepted_during_grace_period(cache: SessionCache, clock: ManualClock) -> None:
    issued = cache.create(b"data")
    cache.rotate(issued.id, grace=10)
    assert cache.load(issued.id) is not None
    clock.advance(10)
    assert cache.load(issued.id) is None


# TERM-1: docs/security-checklist.md
def test_ended_session_stays_ended(cache: SessionCache) -> None:
    issued = cache.create(b"data")
    assert cache.end(issued.id) and not cache.end(issued.id)
    assert cache.open(f"session={issued.token}") is None
    with pytest.raises(Gone):
        cache.save(issued.id, issued.version, b"back")


# TERM-7: docs/security-checklist.md
def test_sessions_are_listed_and_ended_by_handle(cache: SessionCache) -> None:
    for label in ("phone", "laptop"):
        cache.sign_in(cache.create(b"").id, "ada", label=label)
    phone = next(device for device in cache.user_sessions("ada") if device.label == "phone")
    assert cache.end_by_handle(phone.handle) and not cache.end_by_handle(phone.handle)
    assert [device.label for device in cache.user_sessions("ada")] == ["laptop"]
    with pytest.raises(ValueError, match="52 hexadecimal digits"):
        cache.end_by_handle("issued up")


# TERM-5: docs/security-checklist.md
def test_end_user_sessions_keeps_excepted_session(cache: SessionCache) -> None:
    first, second = (cache.sign_in(cache.create(b"").id, "ada") for _ in range(2))
    assert cache.end_user_sessions("ada", except_id=second.id) == 1
    assert cache.load(first.id) is None and cache.load(second.id) is not None
    cache.end_all()
    assert cache.load(second.id) is None


def test_session_is_ended_by_current_or_earlier_token(cache: SessionCache) -> None:
    issued = cache.create(b"data")
    rotated = cache.rotate(issued.id, grace=10)
    assert cache.end_by_token(issued.token) and not cache.end_by_token(rotated.token.encode())
    assert cache.load(rotated.id) is None and not cache.end_by_token("issued up")


def test_saved_session_is_not_ended_by_old_version(cache: SessionCache) -> None:
    issued = cache.create(b"1")
    version = cache.save(issued.id, issued.version, b"2")
    with pytest.raises(Conflict):
        cache.end_if_unchanged(issued.id, issued.version)
    cache.end_if_unchanged(issued.id, version)
    with pytest.raises(Gone):
        cache.end_if_unchanged(issued.id, version)


def test_set_timeouts_changes_timeouts_of_session(cache: SessionCache, clock: ManualClock) -> None:
    issued = cache.create(b"")
    version = cache.set_timeouts(issued.id, issued.version, idle_timeout=60)
    with pytest.raises(Conflict):
        cache.set_timeouts(issued.id, issued.version, lifetime=60)
    clock.advance(59)
    assert cache.load(issued.id) is not None
    clock.advance(60)
    assert cache.load(issued.id) is None
    with pytest.raises(Gone):
        cache.set_timeouts(issued.id, version, lifetime=60)


def test_user_has_any_number_of_sessions_without_limit() -> None:
    for limit, held in ((None, 40), (32, 32)):
        cache = SessionCache(secret_key=KEY, memory=4 << 20, max_sessions_per_user=limit)
        for _ in range(40):
            cache.sign_in(cache.create(b"").id, "ada")
        assert len(cache.user_sessions("ada")) == held


# TIME-1, TIME-2: docs/security-checklist.md
def test_idle_timeout_and_lifetime_expire_sessions(cache: SessionCache, clock: ManualClock) -> None:
    short = cache.create(b"", idle_timeout=60, lifetime=100)
    clock.advance(59)
    assert cache.load(short.id) is not None
    clock.advance(40)
    assert cache.load(short.id) is not None
    clock.advance(1)
    assert cache.load(short.id) is None
    assert cache.maintain() == 1


def test_errors_name_the_setting(cache: SessionCache) -> None:
    issued = cache.create(b"")
    with pytest.raises(TooLarge, match="max_session_size"):
        cache.save(issued.id, issued.version, b"x" * 20_000)
    with pytest.raises(ValueError, match="`user` must not be empty"):
        cache.sign_in(issued.id, "")
    with pytest.raises(ValueError, match="`grace` must be a number of seconds, 0 or more, got -1"):
        cache.rotate(issued.id, grace=-1)
    for settings, text in [
        ({"memory": 1000}, "`memory` .*1000"),
        ({"idle_timeout": 1.0}, "`idle_timeout`"),
        ({"idle_timeout": float("nan")}, "`idle_timeout` must be a number of seconds, 0 or more, got NaN"),
        ({"lifetime": 60.0}, "`idle_timeout` .*at most `lifetime`"),
        ({"cookie_name": "a b"}, "`cookie_name`"),
        ({"session_limit_policy": "panic"}, "`session_limit_policy`"),
    ]:
        with pytest.raises(ValueError, match=text):
            SessionCache(secret_key=KEY, **settings)  # type: ignore[arg-type]


def test_full_cache_raises_full(clock: ManualClock) -> None:
    cache = SessionCache(secret_key=KEY, memory=1 << 20, clock=clock)
    fill(cache)
    before = cache.stats()
    with pytest.raises(Full, match="`memory`"):
        cache.create(b"x" * 16_384)
    assert cache.stats()["sessions_authenticated"] == before["sessions_authenticated"]
    assert all(issubclass(error, SessionError) for error in (Full, Gone, Conflict, TooLarge))


def test_events_and_statistics_match_operations(cache: SessionCache) -> None:
    issued = cache.create(b"")
    cache.sign_in(issued.id, "ada")
    cache.end_user_sessions("ada")
    events = [cache.next_event() for _ in range(4)]
    assert [event and event.kind for event in events] == ["created", "signed_in", "ended", None]
    stats = cache.stats()
    assert (stats["created"], stats["signed_in"], stats["ended"]) == (1, 1, 1)
    assert "\nsessile_signed_in_total 1\n" in cache.prometheus()
    assert stats["memory_budget"] == 4 << 20
    zero = ("rejected_forged", "admission_denied", "session_limit_hits", "compactions", "shard_resets")
    assert all(stats[name] == 0 for name in zero)
    assert "\nsessile_memory_budget_bytes 4194304\n" in cache.prometheus()


# ID-7: docs/security-checklist.md
def test_repr_shows_no_token(cache: SessionCache) -> None:
    issued = cache.create(b"secret data")
    record = cache.open_token(issued.token)
    shown = " ".join(map(repr, (cache, issued, issued.id, record, cache.next_event(), cache.stats())))
    assert issued.token not in shown and "secret data" not in shown
    assert not hasattr(issued.id, "__dict__") and not hasattr(issued, "__dict__")


def test_ids_can_be_compared_and_hashed(cache: SessionCache) -> None:
    issued, other = cache.create(b""), cache.create(b"")
    assert issued.id == cache.load(issued.id).id and issued.id != other.id  # type: ignore[union-attr]
    assert len({issued.id, other.id, issued.id}) == 2


def test_empty_cache_is_true(cache: SessionCache) -> None:
    assert cache and len(cache) == 0
    cache.create(b"")
    assert len(cache) == 1


def test_threads_share_a_cache() -> None:
    cache = SessionCache(secret_key=KEY, memory=8 << 20)
    failures: list[BaseException] = []

    def work() -> None:
        try:
            for _ in range(2_000):
                issued = cache.create(b"data")
                assert cache.open_token(issued.token) is not None
                assert cache.save(issued.id, issued.version, b"more") > issued.version
                assert cache.end(issued.id)
        except BaseException as failure:
            failures.append(failure)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures and len(cache) == 0


def test_keys_change_while_the_cache_runs(cache: SessionCache) -> None:
    old = cache.create(b"")
    new_key = "b1mVIDAzC1D1KMQv5lTSk8dPcCh8lIbbJx3zcwOWkk4"
    cache.set_keys(secret_key=[new_key, KEY])
    assert cache.open_token(old.token) is not None
    new = cache.create(b"")
    cache.set_keys(secret_key=new_key)
    assert cache.open_token(old.token) is None
    assert cache.open_token(new.token) is not None


def test_package_docstring_runs_in_new_process() -> None:
    import doctest

    assert doctest.testmod(sessile).failed == 0
