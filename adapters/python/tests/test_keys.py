"""Secrets that are accepted, and secrets that are rejected."""

from __future__ import annotations

import base64
import warnings
from functools import partial

import pytest
from starlette.datastructures import Secret

from sessile import SessionCache
from sessile.starlette import SessionMiddleware

# Fixed values of `secrets.token_urlsafe(32)`. Of random pairs, one in 256 has equal key numbers,
# which a key ring rejects.
GOOD = "26vC3B400XSZ66ujw5cmepflyUPhYxMHpOKtWSL9UpE"
OTHER = "FZyJy2rrKIuFhDA49T3RctfLa9iOet0ZKFbdp6X_v1o"
# It has the key number of `GOOD` under the default cookie name.
SAME_NUMBER = "bs0I2JEqpMfV5yhDgRfGSbBQLvnRwYodauW7uto_n78"
MEMORY = 4 << 20


async def no_app(scope: object, receive: object, send: object) -> None: ...


@pytest.mark.parametrize("form", [str, str.encode, Secret, lambda key: [key], lambda key: [Secret(key), OTHER]])
# SIGN-3: docs/security-checklist.md
def test_good_secret_is_accepted_in_any_type(form: object) -> None:
    SessionCache(secret_key=form(GOOD), memory=MEMORY)  # type: ignore[operator]


@pytest.mark.parametrize(
    "weak",
    [
        "",
        "secret",
        "example",
        "your-secret-key",
        "some-random-string",
        "!secret",
        "SECRET_KEY",
        "x" * 64,
        "0123456789" * 4,
        "your-secret-key-keep-it-secret-and-safe",
        "super-secret-key-that-is-long-enough-for-production",
        "changeme-changeme-in-production-please",
        "09d25e094faa6ca2556c818166b7a9563b93f7099f6f0f4caa6cf63b88e8d3e7",
        "this-is-a-secret-key-for-my-fastapi-app-123",
    ],
)
# SIGN-3: docs/security-checklist.md
def test_published_keys_are_rejected(weak: str) -> None:
    for form in (weak, weak.encode(), Secret(weak), [GOOD, weak]):
        with pytest.raises(ValueError, match="`secret_key`: .* make one with `openssl rand -base64 32`") as rejected:
            SessionMiddleware(no_app, secret_key=form, memory=MEMORY)
        assert not weak or f"'{weak}'" not in str(rejected.value)


# SIGN-3: docs/security-checklist.md
def test_weak_key_is_accepted_for_development() -> None:
    with pytest.warns(UserWarning, match="For development only"):
        SessionMiddleware(no_app, secret_key="secret", insecure_dev_key=True, memory=MEMORY)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        one, same, other = (
            SessionCache(secret_key=key, insecure_dev_key=True, memory=MEMORY) for key in ("secret", "secret", "other")
        )
    token = one.create(b"").token
    same.open_token(token), other.open_token(token)
    assert (same.stats()["rejected_forged"], other.stats()["rejected_forged"]) == (0, 1)


# SIGN-5: docs/security-checklist.md
def test_first_key_signs_and_all_keys_verify() -> None:
    both = SessionCache(secret_key=[GOOD, OTHER], memory=MEMORY)
    alone = SessionCache(secret_key=OTHER, memory=MEMORY)
    for key in (GOOD, OTHER):
        # The token of another cache is valid, but its session is unknown. An invalid token counts
        # as forged.
        both.open_token(SessionCache(secret_key=key, memory=MEMORY).create(b"").token)
    assert (both.stats()["rejected_forged"], both.stats()["rejected_unknown"]) == (0, 2)
    alone.open_token(both.create(b"").token)
    assert alone.stats()["rejected_forged"] == 1


def test_keys_are_base64_as_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    key, other = (base64.b64encode(secret.encode()).decode() for secret in (GOOD, OTHER))
    SessionCache(keys=key, memory=MEMORY)
    SessionCache(keys=[key, other], memory=MEMORY)
    monkeypatch.setenv("SESSILE_KEYS", key)
    SessionCache(memory=MEMORY)
    monkeypatch.delenv("SESSILE_KEYS")
    with pytest.raises(ValueError, match="`secret_key` or `keys` must be given, got neither: .*SESSILE_KEYS"):
        SessionCache(memory=MEMORY)
    with pytest.raises(ValueError, match="`keys`: key 1 must be base64"):
        SessionCache(keys="no base64!", memory=MEMORY)
    with pytest.raises(ValueError, match="got both"):
        SessionCache(keys=key, secret_key=GOOD, memory=MEMORY)


def test_error_of_two_keys_with_one_number_names_the_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    keys = [base64.b64encode(secret.encode()).decode() for secret in (GOOD, SAME_NUMBER)]
    text = "key 2 has the key number of key 1; use another key"
    for build in (SessionCache, partial(SessionMiddleware, no_app)):
        with pytest.raises(ValueError, match=f"^`secret_key`: {text}"):
            build(secret_key=[GOOD, SAME_NUMBER], memory=MEMORY)
        with pytest.raises(ValueError, match=f"^`keys`: {text}"):
            build(keys=keys, memory=MEMORY)
        monkeypatch.setenv("SESSILE_KEYS", ",".join(keys))
        with pytest.raises(ValueError, match=f"^`SESSILE_KEYS`: {text}"):
            build(memory=MEMORY)
        monkeypatch.setenv("SESSILE_KEYS", "no base64!")
        with pytest.raises(ValueError, match="^`SESSILE_KEYS`: key 1 must be base64"):
            build(memory=MEMORY)
    cache = SessionCache(secret_key=GOOD, memory=MEMORY)
    with pytest.raises(ValueError, match="^`secret_key`: key 1 has the key number of an earlier key; use another key"):
        cache.set_keys(secret_key=SAME_NUMBER)


def test_secret_of_another_type_is_rejected() -> None:
    for given in (1, {"a": 1}, object(), [1]):
        with pytest.raises(TypeError, match="must be str, bytes, a Secret, or a list"):
            SessionCache(secret_key=given, memory=MEMORY)
    with pytest.raises(ValueError, match="`secret_key`: key ring is empty; add a key"):
        SessionCache(secret_key=[], memory=MEMORY)


def test_contradicting_settings_are_rejected() -> None:
    cache = SessionCache(secret_key=GOOD, memory=MEMORY, cookie_name="sid")
    for settings, text in [
        ({"secret_key": GOOD, "session_cookie": "a", "cookie_name": "b"}, "must be equal"),
        ({"secret_key": GOOD, "max_age": 60, "idle_timeout": 90}, "must be equal"),
        ({"secret_key": GOOD, "same_site": "none"}, "SameSite=None"),
        ({"secret_key": GOOD, "same_site": "always"}, "`same_site`"),
        ({"secret_key": GOOD, "partitioned": True}, "Partitioned"),
        ({"secret_key": GOOD, "session_cookie": "__Host-sid"}, "__Host-"),
        ({"secret_key": GOOD, "session_cookie": "__Host-sid", "https_only": True, "domain": "a.example"}, "__Host-"),
        ({"secret_key": GOOD, "path": "no path"}, "`path`"),
        ({"secret_key": GOOD, "domain": "no domain"}, "`domain`"),
        ({"cache": cache, "secret_key": GOOD}, "must not be given with `cache`"),
        ({"cache": cache, "session_cookie": "session"}, "`cookie_name` must not be given with `cache`"),
        ({"cache": cache, "memory": MEMORY}, "`memory` must not be given with `cache`"),
        ({"cache": cache, "idle_timeout": 60}, "`idle_timeout` must not be given with `cache`"),
        ({"cache": cache, "max_sessions_per_user": None}, "`max_sessions_per_user` must not be given with `cache`"),
    ]:
        with pytest.raises(ValueError, match=text):
            SessionMiddleware(no_app, **({} if "cache" in settings else {"memory": MEMORY}) | settings)  # type: ignore[arg-type]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        SessionMiddleware(no_app, cache=cache, cookie_name="sid")
