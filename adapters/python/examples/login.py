"""A shop with a login, as HTML pages.

Run `python examples/login.py` and open http://127.0.0.1:8000. Any name can sign in without a
password. A real application verifies the user first.

Four worker processes share their sessions through a server of Redis or Valkey, and each page shows
which of them answered:

    SECRET_KEY=$(openssl rand -base64 32) python examples/login.py --store redis://127.0.0.1 --workers 4
"""

from __future__ import annotations

import argparse
import html
import os
from pathlib import Path
from typing import Annotated

import uvicorn
from fastapi import Depends, FastAPI, Form, HTTPException
from fastapi.responses import HTMLResponse, RedirectResponse

from sessile import SessionCache
from sessile.fastapi import CurrentUser, SessionControl, SessionDep, SessionMiddleware

CATALOGUE = {"tea": 4, "cup": 9, "pot": 21}

# The store is that of the variable `SESSILE_STORE`, which `--store` sets.
cache = SessionCache(
    secret_key=os.environ.get("SECRET_KEY"),
    insecure_dev_key="SECRET_KEY" not in os.environ,
    memory=64 << 20,
    idle_timeout=30 * 60,
)
app = FastAPI()
app.add_middleware(SessionMiddleware, cache=cache, max_age=30 * 60)


def page(session: SessionControl, body: str) -> HTMLResponse:
    """Returns a page with the pending messages, and a sign-out button for signed-in users."""
    messages = "".join(f"<p><em>{html.escape(text)}</em></p>" for text in session.data.pop("messages", []))
    user = session.user
    sign_out = f"<p>Signed in as {html.escape(user)}. {button(session, '/logout', 'Sign out')}</p>" if user else ""
    style = "body{font:1.1rem/1.6 system-ui;max-width:36rem;margin:3rem auto;padding:0 1rem}form{display:inline}"
    return HTMLResponse(
        f"<!doctype html><html lang=en><meta name=viewport content='width=device-width'><title>sessile</title>"
        f"<style>{style}</style><h1><a href=/>sessile</a></h1>{messages}{body}{sign_out}"
        f"<footer><small>Answered by process {os.getpid()}.</small></footer></html>"
    )


def button(session: SessionControl, action: str, text: str, fields: str = "") -> str:
    """Returns a form with one button and the CSRF token of this session."""
    token = f"<input type=hidden name=token value='{session.csrf_token()}'>"
    return f"<form method=post action='{action}'>{token}{fields}<button>{text}</button></form>"


def checked(session: SessionDep, token: Annotated[str, Form()]) -> SessionControl:
    """Returns the session if the form has its CSRF token. Otherwise the response is 403."""
    session.check_csrf(token)
    return session


Checked = Annotated[SessionControl, Depends(checked)]


def go_to(path: str) -> RedirectResponse:
    return RedirectResponse(path, status_code=303)


@app.get("/")
async def home(session: SessionDep) -> HTMLResponse:
    shelf = "".join(
        f"<li>{name}, {price} € {button(session, f'/cart/{name}', 'Into the cart')}</li>"
        for name, price in CATALOGUE.items()
    )
    cart = "".join(f"<li>{item['count']} × {html.escape(item['name'])}</li>" for item in session.data.get("cart", []))
    name = "<input name=user placeholder='Your name' required maxlength=40>"
    sign_in = "" if session.user else button(session, "/login", "Sign in", name)
    devices = "<p><a href=/devices>Your devices</a></p>" if session.user else ""
    return page(session, f"<ul>{shelf}</ul><h2>Your cart</h2><ul>{cart or '<li>nothing yet</li>'}</ul>{sign_in}{devices}")


@app.post("/cart/{name}")
async def add_to_cart(session: Checked, name: str) -> RedirectResponse:
    if name not in CATALOGUE:
        raise HTTPException(404)
    cart = session.data.setdefault("cart", [])
    item = next((item for item in cart if item["name"] == name), None)
    if item is None:
        cart.append(item := {"name": name, "count": 0})
    item["count"] += 1
    session.data.setdefault("messages", []).append(f"The {name} is in your cart.")
    return go_to("/")


@app.post("/login")
async def login(session: Checked, user: Annotated[str, Form(min_length=1, max_length=40)]) -> RedirectResponse:
    session.sign_in(user)
    session.data.setdefault("messages", []).append(f"Welcome, {user}.")
    return go_to("/")


@app.post("/logout")
async def logout(session: Checked) -> RedirectResponse:
    await session.asign_out()
    return go_to("/")


@app.get("/devices")
async def devices(session: SessionDep, user: CurrentUser) -> HTMLResponse:
    items = "".join(
        f"<li>signed in {device.authenticated_for / 60:.0f} minutes ago{', this one' if device.is_current else ''}</li>"
        for device in await session.auser_sessions()
    )
    return page(session, f"<h2>Your devices</h2><ul>{items}</ul>{button(session, '/others', 'Sign out elsewhere')}")


@app.post("/others")
async def others(session: Checked, user: CurrentUser) -> RedirectResponse:
    ended = await session.asign_out_others()
    session.data.setdefault("messages", []).append(f"Signed out on {ended} other devices.")
    return go_to("/devices")


def main() -> None:
    parser = argparse.ArgumentParser(description="A shop with a login.")
    parser.add_argument("--store", metavar="URL", help="a server of Redis or Valkey that keeps the sessions, such as redis://127.0.0.1")
    parser.add_argument("--workers", type=int, default=1, help="the number of processes; more than 1 needs --store")
    parser.add_argument("--port", type=int, default=8000)
    options = parser.parse_args()
    if options.workers > 1 and not options.store:
        parser.error("--workers above 1 needs --store: processes share sessions only through a store")
    if options.store:
        if "SECRET_KEY" not in os.environ:
            parser.error("--store needs the variable SECRET_KEY, which all processes share: SECRET_KEY=$(openssl rand -base64 32)")
        os.environ["SESSILE_STORE"] = options.store
    # Each worker imports this file, after the variables are set.
    folder = str(Path(__file__).parent)
    uvicorn.run("login:app", app_dir=folder, host="127.0.0.1", port=options.port, workers=options.workers)


if __name__ == "__main__":
    main()
