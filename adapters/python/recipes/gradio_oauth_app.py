import os

import gradio as gr
from fastapi import FastAPI, Request

from sessile.starlette import SessionMiddleware

with gr.Blocks() as demo:
    # Adds Starlette's middleware to gradio's application, with a cookie named "session".
    gr.LoginButton()

site = FastAPI()


@site.post("/cart/{item}")
async def put(request: Request, item: str) -> list[str]:
    cart = request.session.setdefault("cart", [])
    cart.append(item)
    return cart


app = gr.mount_gradio_app(site, demo, path="/demo")
app.add_middleware(SessionMiddleware, secret_key=os.environ["SECRET_KEY"], session_cookie="site_session")
