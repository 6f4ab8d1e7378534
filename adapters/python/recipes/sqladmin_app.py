import os

from fastapi import FastAPI, Request
from sqladmin import Admin, ModelView
from sqladmin.authentication import AuthenticationBackend
from sqlalchemy import create_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.pool import StaticPool

from sessile.starlette import SessionMiddleware


class Base(DeclarativeBase):
    pass


class Product(Base):
    __tablename__ = "products"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]


class ProductAdmin(ModelView, model=Product):
    column_list = ["id", "name"]


class Login(AuthenticationBackend):
    def __init__(self) -> None:
        super().__init__(secret_key="unused")
        # Without Starlette's middleware the admin pages use the sessions of the site.
        self.middlewares = []

    async def login(self, request: Request) -> bool:
        form = await request.form()
        if form["password"] != os.environ["ADMIN_PASSWORD"]:
            return False
        request.session["user"] = form["username"]
        return True

    async def logout(self, request: Request) -> bool:
        request.session.clear()
        return True

    async def authenticate(self, request: Request) -> bool:
        return "user" in request.session


engine = create_engine("sqlite://", poolclass=StaticPool, connect_args={"check_same_thread": False})
Base.metadata.create_all(engine)

app = FastAPI()
app.add_middleware(SessionMiddleware, secret_key=os.environ["SECRET_KEY"])
admin = Admin(app, engine, authentication_backend=Login())
admin.add_view(ProductAdmin)


@app.post("/cart/{item}")
async def put(request: Request, item: str) -> None:
    request.session.setdefault("cart", []).append(item)


@app.get("/me")
async def me(request: Request) -> dict[str, object]:
    return dict(request.session)
