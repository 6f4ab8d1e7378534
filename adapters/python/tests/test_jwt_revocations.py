"""`sessile.jwt.Revocations` in memory."""

from __future__ import annotations

import asyncio
import os
import threading
import time
import tracemalloc
from collections.abc import Callable
from typing import Any

import pytest
from jwt_tokens import NOW, SECRET

from sessile import Full, jwt


def token(sub: str = "ada", jti: str | None = "1", **claims: Any) -> str:
    now = int(time.time())
    given = {"sub": sub, "jti": jti, "iat": now - 10, "exp": now + 600, **claims}
    return jwt.encode({name: value for name, value in given.items() if value is not None}, SECRET)


@pytest.fixture
def revocations() -> jwt.Revocations:
    return jwt.Revocations.in_memory(capacity=100)


Accepts = Callable[..., bool]


@pytest.fixture
def accepts(revocations: jwt.Revocations) -> Accepts:
    def accepts(text: str, **settings: Any) -> bool:
        try:
            jwt.decode(text, SECRET, algorithms=["HS256"], revocations=revocations, **settings)
        except jwt.RevokedTokenError as error:
            assert error.cause == "revoked"
            return False
        return True

    return accepts


def test_revoked_token_is_rejected_immediately(revocations: jwt.Revocations, accepts: Accepts) -> None:
    first, second = token(), token(jti="2")
    assert accepts(first) and len(revocations) == 0
    revocations.revoke_token(jwt.decode(first, SECRET, ["HS256"]))
    assert not accepts(first) and accepts(second) and len(revocations) == 1
    # Without the list it is accepted: the list is an argument, not a global.
    assert jwt.decode(first, SECRET, ["HS256"])


def test_token_without_jti_is_revoked_by_its_text(revocations: jwt.Revocations, accepts: Accepts) -> None:
    first, second = token(jti=None), token(sub="bob", jti=None)
    revocations.revoke_token(jwt.decode(first, SECRET, ["HS256"]))
    assert not accepts(first) and accepts(second)


def test_token_is_revoked_by_jti_and_exp(revocations: jwt.Revocations, accepts: Accepts) -> None:
    first, second = token(), token(jti="2")
    revocations.revoke_token({"jti": "1", "exp": time.time() + 600})
    revocations.revoke_token(dict(jwt.decode(second, SECRET, ["HS256"])))
    assert not accepts(first) and not accepts(second)


@pytest.mark.parametrize("claims", [{}, {"jti": "1"}, {"exp": NOW}, {"jti": 1, "exp": NOW}])
def test_claims_that_name_no_token(revocations: jwt.Revocations, claims: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="`jti`.*`exp`"):
        revocations.revoke_token(claims)
    with pytest.raises(TypeError, match="`claims` must be"):
        revocations.revoke_token(token())  # type: ignore[arg-type]
    assert len(revocations) == 0


def test_subject_and_all(revocations: jwt.Revocations, accepts: Accepts) -> None:
    ada, bob = token(), token(sub="bob", jti="2")
    revocations.revoke_subject("ada")
    assert not accepts(ada) and accepts(bob)
    assert not accepts(token(jti="3", iat=int(time.time())))
    assert not accepts(token(jti="4", iat=None))
    later = time.time() + 10
    assert accepts(token(jti="5", iat=int(later)), now=later)
    revocations.revoke_all()
    assert not accepts(bob) and accepts(token(sub="bob", iat=int(later)), now=later)


def test_awaitable_variants(revocations: jwt.Revocations, accepts: Accepts) -> None:
    async def revoke() -> None:
        await revocations.arevoke_token(jwt.decode(token(), SECRET, ["HS256"]))
        assert not accepts(token())
        await revocations.arevoke_subject("bob")
        assert not accepts(token(sub="bob", jti="2")) and accepts(token(jti="3"))
        await revocations.arevoke_all()
        assert not accepts(token(jti="3"))

    asyncio.run(revoke())


def test_full_list_evicts_nothing() -> None:
    revocations = jwt.Revocations.in_memory(capacity=8)
    revoked = []
    with pytest.raises(Full, match="`capacity`"):
        for at in range(1_000):
            claims = jwt.decode(token(jti=str(at)), SECRET, ["HS256"])
            revocations.revoke_token(claims)
            revoked.append(claims)
    assert 8 <= len(revoked) <= revocations.capacity
    for claims in revoked:
        with pytest.raises(jwt.RevokedTokenError):
            jwt.decode(jwt.encode(claims, SECRET), SECRET, ["HS256"], revocations=revocations)


def test_lifetime_is_limited(revocations: jwt.Revocations) -> None:
    short = jwt.Revocations.in_memory(capacity=10, max_lifetime=3600)
    text = token(exp=int(time.time()) + 7200)
    with pytest.raises(jwt.JWTClaimsError) as caught:
        jwt.decode(text, SECRET, ["HS256"], revocations=short)
    assert caught.value.cause == "lifetime"
    assert jwt.decode(text, SECRET, ["HS256"], revocations=revocations)


def test_exp_is_required_with_revocations(revocations: jwt.Revocations) -> None:
    with pytest.raises(ValueError, match="exp"):
        jwt.decode(token(), SECRET, ["HS256"], {"require_exp": False}, revocations=revocations)


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"capacity": 0}, "`capacity` must be"),
        ({"capacity": -1}, "`capacity` must be"),
        ({"capacity": "9"}, "`capacity` must be"),
        ({"capacity": 1 << 60}, "`capacity` must be"),
        ({"capacity": 1, "max_lifetime": "1"}, "`max_lifetime` must be"),
        ({"capacity": 1, "max_lifetime": -1}, "`max_lifetime` must be"),
    ],
)
def test_unfit_settings_are_named(settings: dict[str, Any], text: str) -> None:
    with pytest.raises((TypeError, ValueError), match=text) as caught:
        jwt.Revocations.in_memory(**settings)
    print(caught.value)


def test_constructor_names_the_two_lists() -> None:
    with pytest.raises(TypeError, match="in_memory.*restart.*with_store"):
        jwt.Revocations()


def test_list_of_one_verifier_does_not_affect_another(revocations: jwt.Revocations) -> None:
    verifier = jwt.Verifier(SECRET, ["HS256"], revocations=revocations)
    other = jwt.Verifier(SECRET, ["HS256"])
    revocations.revoke_token(verifier.decode(token()))
    with pytest.raises(jwt.RevokedTokenError):
        verifier.decode(token())
    assert other.decode(token()) and verifier.rejections()["revoked"] == 1
    assert "sessile_jwt_revocations 1" in verifier.prometheus()


def test_freed_entries_are_used_again() -> None:
    revocations = jwt.Revocations.in_memory(capacity=8)
    for at in range(200):
        # Expired for longer than the largest leeway.
        revocations.revoke_token({"jti": str(at), "exp": time.time() - 400})
    assert len(revocations) <= revocations.capacity


def test_many_revocations_take_fixed_memory() -> None:
    revocations = jwt.Revocations.in_memory(capacity=50_000)
    expires = time.time() + 600
    tracemalloc.start()
    for at in range(50_000):
        revocations.revoke_token({"jti": f"{at}", "exp": expires})
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(revocations) == 50_000 and peak < 1 << 20
    with pytest.raises(jwt.RevokedTokenError):
        jwt.decode(token(jti="49999"), SECRET, ["HS256"], revocations=revocations)


def test_threads_see_a_revocation_when_the_call_returned(revocations: jwt.Revocations, accepts: Accepts) -> None:
    texts = [token(jti=str(at)) for at in range(50)]
    failures: list[str] = []

    def revoke(mine: list[str]) -> None:
        for text in mine:
            revocations.revoke_token(jwt.decode(text, SECRET, ["HS256"]))
            if accepts(text):
                failures.append(text)

    threads = [threading.Thread(target=revoke, args=(texts[at::5],)) for at in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures and not any(map(accepts, texts)) and len(revocations) == 50


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_forked_child_begins_with_an_empty_list_and_warns(revocations: jwt.Revocations) -> None:
    verifier = jwt.Verifier(SECRET, ["HS256"], revocations=revocations)
    revocations.revoke_token(verifier.decode(token()))
    reader, writer = os.pipe()
    if (child := os.fork()) == 0:
        with os.fdopen(writer, "w") as answer, pytest.warns(RuntimeWarning, match="forked"):
            answer.write(f"{len(revocations)} {verifier.decode(token())['sub']}")
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as answer:
        assert answer.read() == "0 ada"
    assert os.waitpid(child, 0)[1] == 0
    with pytest.raises(jwt.RevokedTokenError):
        verifier.decode(token())
