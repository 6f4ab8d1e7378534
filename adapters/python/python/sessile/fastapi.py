"""The session, the signed-in user and the claims of a JWT as FastAPI dependencies.

::

    from sessile.fastapi import CurrentUser, SessionDep

    @app.post("/login")
    async def login(session: SessionDep) -> None:
        session.sign_in("ada")
        session.data["cart"] = []

    @app.get("/me")
    async def me(user: CurrentUser) -> str:
        return user
"""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, HTTPException
from starlette.requests import HTTPConnection

from sessile._bearer import Bearer, bearer
from sessile.control import SessionControl, session_control
from sessile.starlette import SessionMiddleware

__all__ = [
    "Bearer",
    "CurrentUser",
    "SessionControl",
    "SessionDep",
    "SessionMiddleware",
    "bearer",
    "current_user",
    "get_session",
]


async def get_session(connection: HTTPConnection) -> SessionControl:
    """Returns the :class:`SessionControl` of a request or websocket."""
    return session_control(connection)


SessionDep = Annotated[SessionControl, Depends(get_session)]
"""The session of a request or websocket, as a dependency."""


async def current_user(session: SessionDep) -> str:
    """Returns the name of the signed-in user.

    Raises an ``HTTPException`` with status 401 without one.
    """
    if (user := session.user) is None:
        raise HTTPException(401, "Please sign in.")
    return user


CurrentUser = Annotated[str, Depends(current_user)]
"""The name of the signed-in user, as a dependency. Without a user the response is 401."""
