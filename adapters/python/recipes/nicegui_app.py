import os

from sessile.starlette import install

# Before NiceGUI is imported: it searches the application's middlewares for Starlette's class.
install()

from fastapi import FastAPI, Request
from nicegui import app as pages
from nicegui import ui
from starlette.middleware.sessions import SessionMiddleware  # sessile's, by install()

app = FastAPI()
app.add_middleware(SessionMiddleware, secret_key=os.environ["SECRET_KEY"])


@app.post("/login")
async def login(request: Request, name: str) -> None:
    request.session["user"] = name


@app.post("/logout")
async def logout(request: Request) -> None:
    request.session.clear()


@app.get("/me")
async def me(request: Request) -> str | None:
    return request.session.get("user")


@ui.page("/")
def home(request: Request) -> None:
    def add() -> None:
        clicks = pages.storage.user.get("clicks", 0) + 1
        pages.storage.user["clicks"] = clicks
        ui.notify(f"clicks: {clicks}")

    ui.label(f"signed in: {request.session.get('user')}")
    ui.label(f"clicks: {pages.storage.user.get('clicks', 0)}")
    ui.button("Add", on_click=add)


ui.run_with(app, mount_path="/ui")
