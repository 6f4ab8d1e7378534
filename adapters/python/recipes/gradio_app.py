import os

import gradio as gr
from fastapi import FastAPI, Request

from sessile.starlette import SessionMiddleware

site = FastAPI()


@site.post("/login")
async def login(request: Request, name: str) -> None:
    request.session["user"] = name


@site.post("/logout")
async def logout(request: Request) -> None:
    request.session.clear()


@site.post("/cart/{item}")
async def put(request: Request, item: str) -> None:
    request.session.setdefault("cart", []).append(item)


def signed_in(request: Request) -> str | None:
    """Returns the name of the user. Without one, gradio responds with 401."""
    return request.session.get("user")


def greet(greeting: str, request: gr.Request) -> str:
    # gr.Request.session is a copy, and creating it fails for lists of text.
    cart = request.request.session.get("cart", [])
    return f"{greeting}, {request.username}: {len(cart)} items"


demo = gr.Interface(greet, gr.Textbox(), gr.Textbox(), api_name="greet")
# The middleware is added to the outer application.
app = gr.mount_gradio_app(site, demo, path="/demo", auth_dependency=signed_in)
app.add_middleware(SessionMiddleware, secret_key=os.environ["SECRET_KEY"])
