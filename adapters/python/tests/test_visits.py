"""The session of one request: reading, storing, errors and messages."""

from __future__ import annotations

import asyncio
import gc
import json
import threading
import weakref
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import pytest
from conftest import KEY, control_of, fill_partially
from pydantic import TypeAdapter
from starlette.requests import HTTPConnection

from sessile import Full, Gone, SessionCache, SessionError, TooLarge
from sessile._sessile import _Sessions
from sessile.session import Session, _Unread, unread
from sessile.starlette import SessionMiddleware

Act = Callable[[Session], None]


class Browser:
    """A client that keeps the cookie of its session."""

    def __init__(self, cache: SessionCache) -> None:
        self.cache, self.cookie = cache, b""
        self.middleware = SessionMiddleware(self._app, cache=cache)
        self.sent: list[Any] = []
        self.start: Any = {"type": "http.response.start", "status": 200, "headers": []}

    async def _app(self, scope: Any, receive: Any, send: Any) -> None:
        self.act(scope["session"])
        await send(self.start)
        await send({"type": "http.response.body", "body": b""})

    def request(self, act: Act = lambda session: None) -> int:
        """Returns the status of the response."""
        self.act, self.sent = act, []

        async def send(message: Any) -> None:
            self.sent.append(message)

        scope = {"type": "http", "headers": [(b"cookie", self.cookie)] if self.cookie else []}
        asyncio.run(self.middleware(scope, None, send))  # type: ignore[arg-type]
        for name, value in self.sent[0]["headers"]:
            if name == b"set-cookie":
                pair = value.split(b";")[0]
                self.cookie = b"" if pair.endswith((b"=", b"=null")) else pair
        return int(self.sent[0]["status"])

    def data(self) -> dict[str, Any]:
        found: list[dict[str, Any]] = []
        assert self.request(lambda session: found.append(dict(session))) == 200
        return found[0]

    def user(self) -> str | None:
        found: list[str | None] = []
        assert self.request(lambda session: found.append(control_of(session).user)) == 200
        return found[0]


def browser_with(cache: SessionCache, **data: Any) -> Browser:
    browser = Browser(cache)
    browser.request(lambda session: session.update(data))
    return browser


def fail_to_save(cache: SessionCache, error: type[SessionError]) -> Act:
    """Saves data that is too large for the limit or the cache, and removes it again."""

    def act(session: Session) -> None:
        size = cache.max_session_size if error is TooLarge else cache.max_session_size - 150
        session.update(a="x" * (size // 2), b="x" * (size // 2))
        with pytest.raises(error):
            control_of(session).save()
        del session["a"], session["b"]

    return act


# A sign-in is never `Full`, because it evicts anonymous sessions. A `Conflict` needs `watch`, which
# Python does not have.
@pytest.mark.parametrize(
    ("error", "verb"),
    [(TooLarge, "clear"), (TooLarge, "sign_in"), (TooLarge, "rotate"), (Full, "clear"), (Full, "rotate")],
)
def test_pending_operation_of_failed_save_is_performed_or_response_is_an_error(
    error: type[SessionError], verb: str
) -> None:
    cache = SessionCache(secret_key=KEY, memory=1 << 20 if error is Full else 4 << 20)
    if error is Full:
        fill_partially(cache)
    browser = browser_with(cache, user_id=7, cart=["tea"])
    old = browser.cookie

    def act(session: Session) -> None:
        if verb == "clear":
            session.clear()
        elif verb == "sign_in":
            control_of(session).sign_in("ada")
        else:
            control_of(session).rotate()
        fail_to_save(cache, error)(session)
        session["after"] = 1

    status = browser.request(act)
    new, browser.cookie = browser.cookie, old
    data = {} if verb == "clear" else {"user_id": 7, "cart": ["tea"]}
    if status == 200:
        assert browser.data() == {}, "the old id is not accepted"
        browser.cookie = new
        assert browser.data() == data | {"after": 1}
        assert browser.user() == {"clear": None, "sign_in": "ada", "rotate": None}[verb]
    else:
        assert error is Full and status == 503 and browser.data() == data


def test_dict_is_empty_after_gone_and_writes_start_new_session(cache: SessionCache) -> None:
    browser = browser_with(cache, user_id=7, n=1)
    old = browser.cookie

    def act(session: Session) -> None:
        session["n"] = 2
        cache.end_all()
        with pytest.raises(Gone):
            control_of(session).save()
        assert session == {} and not session.modified
        session["m"] = 3

    assert browser.request(act) == 200
    assert browser.cookie not in (b"", old) and browser.data() == {"m": 3}


def test_no_session_is_created_after_gone_without_writes(cache: SessionCache) -> None:
    browser = browser_with(cache, n=1)

    def act(session: Session) -> None:
        session["n"] = 2
        cache.end_all()
        with pytest.raises(Gone):
            control_of(session).save()

    assert browser.request(act) == 200
    assert len(cache) == 0 and browser.data() == {}


def test_late_read_of_thread_undoes_no_changes(cache: SessionCache) -> None:
    """One thread is stopped in `mark_accessed` while another one writes and signs in."""
    browser = browser_with(cache, n=1)
    session = unread(_Sessions(cache).begin([(b"cookie", browser.cookie)], False))
    session["n"] = 2
    control_of(session).sign_in("ada")
    _Unread.mark_accessed(session)  # type: ignore[arg-type]
    assert session == {"n": 2} and control_of(session).user == "ada"


def test_interrupted_read_of_thread_undoes_no_changes(cache: SessionCache) -> None:
    browser = browser_with(cache, n=1)

    class Headers(list[tuple[bytes, bytes]]):
        is_first = True

        def __iter__(self) -> Any:
            if self.is_first:
                self.is_first = False
                other = threading.Thread(target=write)
                other.start()
                other.join()
            return super().__iter__()

    def write() -> None:
        session["n"] = 2
        control_of(session).sign_in("ada")

    session = unread(_Sessions(cache).begin(Headers([(b"cookie", browser.cookie)]), False))
    assert session.get("n") == 2 and control_of(session).user == "ada"


def test_message_that_is_sent_repeatedly_is_not_changed(cache: SessionCache) -> None:
    first, second = Browser(cache), Browser(cache)
    first.start = second.start = {"type": "http.response.start", "status": 200, "headers": [(b"x-a", b"b")]}
    for browser in (first, second):
        browser.request(lambda session: session.update(a=1))
    assert first.start["headers"] == [(b"x-a", b"b")]
    assert first.cookie != second.cookie and first.sent[0] is not first.start


@pytest.mark.parametrize("headers", [[], [(b"x-a", b"b")]])
def test_message_may_be_any_mapping(cache: SessionCache, headers: Any) -> None:
    browser = Browser(cache)
    browser.start = MappingProxyType({"type": "http.response.start", "status": 200, "headers": headers})
    assert browser.request(lambda session: session.update(a=1)) == 200
    assert isinstance(browser.sent[0], Mapping) and browser.data() == {"a": 1}


@pytest.mark.parametrize("status", [500, 599, 600, 999])
def test_status_of_500_or_more_stores_nothing(cache: SessionCache, status: int) -> None:
    browser = browser_with(cache, a=1)
    browser.start = {"type": "http.response.start", "status": status, "headers": []}
    assert browser.request(lambda session: session.update(a=2)) == status
    browser.start["status"] = 200
    assert browser.data() == {"a": 1}


def test_session_has_attributes_and_weak_references() -> None:
    session = unread(_Sessions(SessionCache(secret_key=KEY, memory=4 << 20)).begin([], False))
    session.note = "mine"  # type: ignore[attr-defined]
    assert weakref.ref(session)() is session and session.note == "mine" and session == {}  # type: ignore[attr-defined]


def test_cycle_through_headers_is_collected(cache: SessionCache) -> None:
    class Headers(list[Any]):
        pass

    headers = Headers()
    headers.session = unread(_Sessions(cache).begin(headers, False))  # type: ignore[attr-defined]
    gone = weakref.ref(headers)
    del headers
    gc.collect()
    assert gone() is None


def test_unread_session_can_be_copied_and_encoded_as_json(cache: SessionCache) -> None:
    browser = browser_with(cache, a=1)

    def new() -> Session:
        return unread(_Sessions(cache).begin([(b"cookie", browser.cookie)], False))

    assert json.dumps(new()) == '{"a": 1}'
    assert dict(new()) == {**new()} == new() | {} == {"a": 1}


def test_c_code_sees_session_read_by_request_session(cache: SessionCache) -> None:
    browser = browser_with(cache, a=1)
    session = unread(_Sessions(cache).begin([(b"cookie", browser.cookie)], False))
    connection = HTTPConnection({"type": "http", "headers": [], "session": session})
    assert TypeAdapter(dict[str, Any]).dump_json(connection.session) == b'{"a":1}'


def test_data_written_by_cache_is_an_error_and_not_overwritten(cache: SessionCache) -> None:
    issued = cache.create(b"a cart")
    browser = Browser(cache)
    browser.cookie = f"session={issued.token}".encode()

    def act(session: Session) -> None:
        for _ in range(2):
            with pytest.raises(SessionError, match="data that `SessionMiddleware` did not write"):
                session["a"] = 1

    assert browser.request(act) == 200
    record = cache.load(issued.id)
    assert record is not None and record.data == b"a cart" and record.version == issued.version


def test_session_without_data_is_not_an_error(cache: SessionCache) -> None:
    browser = Browser(cache)
    browser.cookie = f"session={cache.create(b'').token}".encode()
    browser.request(lambda session: session.update(a=1))
    assert browser.data() == {"a": 1}


def test_save_releases_interpreter_lock(cache: SessionCache) -> None:
    browser = browser_with(cache, n=0)
    session = unread(_Sessions(cache).begin([(b"cookie", browser.cookie)], False))
    session.mark_accessed()
    control, done = control_of(session), threading.Event()

    def save() -> None:
        try:
            for at in range(3_000):
                session["n"] = at
                control.save()
        finally:
            done.set()

    threading.Thread(target=save).start()
    while not done.is_set():
        assert control.user is None and control.is_alive()
        control.rotate()
    assert session == {"n": 2_999}


def test_top_level_keys_are_sorted_and_nested_keys_keep_order(cache: SessionCache) -> None:
    browser = Browser(cache)
    data = {"zebra": 1, "apple": {"zebra": 1, "apple": 2}}

    def act(session: Session) -> None:
        session.update(data)
        assert list(session) == ["zebra", "apple"]

    browser.request(act)
    assert list(browser.data()) == ["apple", "zebra"] and list(browser.data()["apple"]) == ["zebra", "apple"]
    taken: list[Any] = []
    browser.request(lambda session: taken.append(session.popitem()))
    assert taken == [("zebra", 1)] and browser.data() == {"apple": {"zebra": 1, "apple": 2}}
