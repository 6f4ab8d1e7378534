import os

from authlib.integrations.starlette_client import OAuth, OAuthError
from fastapi import FastAPI, HTTPException, Request
from fastapi.responses import RedirectResponse, Response
from joserfc.errors import JoseError

from sessile.starlette import SessionMiddleware

app = FastAPI()
app.add_middleware(SessionMiddleware, secret_key=os.environ["SECRET_KEY"])

oauth = OAuth()
oauth.register(
    "provider",
    client_id=os.environ["OPENID_CLIENT_ID"],
    client_secret=os.environ["OPENID_CLIENT_SECRET"],
    server_metadata_url=os.environ["OPENID_ISSUER"] + "/.well-known/openid-configuration",
    client_kwargs={"scope": "openid profile", "code_challenge_method": "S256"},
)


@app.get("/login")
async def login(request: Request) -> Response:
    return await oauth.provider.authorize_redirect(request, request.url_for("callback"))


@app.get("/callback")
async def callback(request: Request) -> Response:
    try:
        token = await oauth.provider.authorize_access_token(request)
    except (OAuthError, JoseError) as error:
        raise HTTPException(400, error.error) from error
    claims = token["userinfo"]
    request.session["user"] = {"sub": claims["sub"], "name": claims["name"]}
    return RedirectResponse("/")


@app.get("/")
async def home(request: Request) -> dict[str, str] | None:
    return request.session.get("user")


@app.post("/logout")
async def logout(request: Request) -> None:
    request.session.clear()
