import os

import sentry_sdk
from fastapi import FastAPI, Request

from sessile.starlette import SessionMiddleware

sentry_sdk.init(
    dsn=os.environ["SENTRY_DSN"],
    # The local variables of any ASGI middleware contain the request's headers, with the cookie.
    include_local_variables=False,
    traces_sample_rate=1.0,
)

app = FastAPI()
app.add_middleware(SessionMiddleware, secret_key=os.environ["SECRET_KEY"])


@app.post("/login")
async def login(request: Request, name: str) -> None:
    request.session["user"] = name


@app.get("/me")
async def me(request: Request) -> dict[str, str]:
    return dict(request.session)


@app.post("/orders")
async def order(request: Request) -> None:
    sentry_sdk.set_user({"id": request.session["user"]})
    request.session["ordered"] = "tea"
    raise RuntimeError("the warehouse does not answer")
