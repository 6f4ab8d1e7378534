"""The server of `test_jwt_bearer.py`: logins with tokens that can be revoked. Prints its port."""

import secrets
import time
from typing import Annotated, Any, Optional

import uvicorn
from fastapi import Depends, FastAPI

from sessile import jwt
from sessile.fastapi import bearer

SECRET = secrets.token_urlsafe(32)
revocations = jwt.Revocations.in_memory(capacity=1_000)
verified = bearer(SECRET, algorithms=["HS256"], issuer="https://a.example", revocations=revocations)
app = FastAPI()


@app.post("/login")
async def login(user: str) -> str:
    now = int(time.time())
    claims = {"iss": "https://a.example", "sub": user, "iat": now, "exp": now + 600, "jti": secrets.token_hex(16)}
    return jwt.encode(claims, SECRET)


@app.get("/me")
async def me(claims: Annotated[jwt.Claims, Depends(verified)]) -> Any:
    return claims["sub"]


@app.post("/logout")
async def logout(claims: Annotated[jwt.Claims, Depends(verified)]) -> None:
    await revocations.arevoke_token(claims)


@app.post("/revoke")
def revoke(user: str) -> None:
    revocations.revoke_subject(user)


@app.get("/rejections")
async def rejections() -> Any:
    return verified.rejections()


class Server(uvicorn.Server):
    async def startup(self, sockets: Optional[list[Any]] = None) -> None:
        await super().startup(sockets)
        print(self.servers[0].sockets[0].getsockname()[1], flush=True)


if __name__ == "__main__":
    Server(uvicorn.Config(app, host="127.0.0.1", port=0, http="h11", log_config=None, log_level="error")).run()
