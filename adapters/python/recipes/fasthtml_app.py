import os

from fasthtml.common import FastHTML, P, RedirectResponse

from sessile.starlette import SessionMiddleware

app = FastHTML(
    sess_cls=SessionMiddleware,
    secret_key=os.environ["SECRET_KEY"],
    session_cookie="session",
    max_age=14 * 24 * 60 * 60,
    exts="ws",
)


@app.get("/")
def home(session):
    session["visits"] = session.get("visits", 0) + 1
    return P(f"{session.get('user', 'visitor')}: {session['visits']} visits, {len(session.get('said', []))} messages")


@app.post("/login")
def login(session, name: str):
    session["user"] = name
    return RedirectResponse("/", status_code=303)


@app.post("/logout")
def logout(session):
    session.clear()
    return RedirectResponse("/", status_code=303)


@app.ws("/chat")
def chat(text: str, session):
    session.setdefault("said", []).append(text)
    return P(text)
