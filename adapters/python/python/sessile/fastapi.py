"""The session as a dependency, with its type.

::

    from typing import Annotated

    from fastapi import Depends
    from sessile.fastapi import Session, SignedIn, session

    @app.post("/login")
    async def login(session: Annotated[Session, Depends(session)]) -> None:
        session.sign_in("ada")

    @app.get("/me")
    async def me(user: SignedIn) -> str:
        return user
"""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, HTTPException
from starlette.requests import HTTPConnection

from sessile.session import Session
from sessile.starlette import SessionMiddleware

__all__ = ["Session", "SessionMiddleware", "SignedIn", "session", "signed_in"]


async def session(connection: HTTPConnection) -> Session:
    """The session of a request or websocket."""
    found = connection.scope.get("session")
    if not isinstance(found, Session):
        raise RuntimeError("there is no session: app.add_middleware(sessile.starlette.SessionMiddleware, …)")
    found.mark_accessed()
    return found


async def signed_in(session: Annotated[Session, Depends(session)]) -> str:
    """The name of who is signed in; 401 if nobody is."""
    if (user := session.user) is None:
        raise HTTPException(401, "Please sign in.")
    return user


SignedIn = Annotated[str, Depends(signed_in)]
"""The name of who is signed in, where nobody else is let in: 401 otherwise."""
