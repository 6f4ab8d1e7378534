"""The application of the tests with a memcached. Its store is that of `SESSILE_STORE`."""

from __future__ import annotations

import os

from fastapi import FastAPI, HTTPException

from sessile import SessionError
from sessile.fastapi import CurrentUser, SessionDep, SessionMiddleware

app = FastAPI()
app.add_middleware(SessionMiddleware, secret_key=os.environ["SECRET_KEY"], memory=8 << 20, max_sessions_per_user=None)


@app.get("/worker")
async def worker() -> int:
    return os.getpid()


@app.post("/login/{user}")
async def login(session: SessionDep, user: str) -> None:
    session.sign_in(user)


@app.post("/logout")
async def logout(session: SessionDep) -> None:
    await session.asign_out()


@app.post("/everywhere")
async def everywhere(session: SessionDep) -> None:
    await session.asign_out_everywhere()


@app.get("/me")
async def me(user: CurrentUser) -> str:
    return user


@app.post("/cart/{item}")
async def add_to_cart(session: SessionDep, item: str) -> list[str]:
    cart: list[str] = session.data.setdefault("cart", [])
    cart.append(item)
    return cart


@app.get("/cart")
async def cart(session: SessionDep) -> list[str]:
    return list(session.data.get("cart", []))


@app.get("/devices")
async def devices(session: SessionDep) -> int:
    try:
        return len(await session.auser_sessions())
    except SessionError as error:
        raise HTTPException(501, str(error)) from None
